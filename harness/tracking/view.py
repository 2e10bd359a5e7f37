"""The comparison as a saved view of MLflow's runs page: the sweep's variants, and the figures that it is about.

MLflow keeps such a view in a tag of the experiment, {"name", "createdAt", "updatedAt", "state"}: the state of the page,
deflated, in base64. It cannot say that a run is unfolded, but a page that is grouped by the tag `harness.variant` shows
the children at once. Its form is MLflow's own and is not documented (3.17 reads and writes it so); a server that does
not know it ignores the tag, and the sections are in the same order by their names.
"""

import base64
import json
import zlib
from hashlib import sha256

from harness.analysis import Study
from harness.records.fields import Json
from harness.tracking.metrics import ladder_name, served_name

VARIANT = "harness.variant"
TAG = "mlflow.sharedViewState."
MAX_CHARS = 20_000  # of a tag's value


def view_key(identity: str) -> str:
    """The same view for the same sweep: saved again, it is replaced."""
    return sha256(identity.encode()).hexdigest()[:32]


def view_link(experiment_id: str, key: str) -> str:
    """To be put behind the server's address."""
    return f"#/experiments/{experiment_id}/runs?viewStateShareKey={key}&compareRunsMode=CHART"


def saved_view(study: Study, search: str, names: set[str], created_ms: int) -> str | None:
    """The tag's value; `search`: MLflow's filter for the sweep's runs; `names`: every metric that a variant has.

    None where MLflow would not take it: it would be too long.
    """
    grouped = {"aggregateFunction": "average", "groupByKeys": [{"mode": "tag", "groupByData": VARIANT}]}
    return page_state(f"{study.name}: variants compared", search, _sections(study, names), created_ms, grouped)


def page_state(
    name: str, search: str, sections: list[tuple[str, list[Json]]], created_ms: int, grouped: Json | None = None
) -> str | None:
    """Return a view of the runs that `search` finds with these charts, by section; None where it is too long."""
    state = {
        "searchFilter": search,
        "orderByKey": "attributes.start_time",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "selectedColumns": ["attributes.`Source`", "attributes.`Models`", "attributes.`Dataset`"],
        "runsHiddenMode": "FIRST_20_RUNS",
        "compareRunCharts": [chart for _, charts in sections for chart in charts],
        "compareRunSections": [
            {"uuid": title, "name": title, "display": True, "isReordered": True, "deleted": False, "isGenerated": False}
            for title, _ in sections
        ],
        "isAccordionReordered": True,
        "hideEmptyCharts": True,
        "viewMaximized": False,
        "runListHidden": False,
        "useGroupedValuesInCharts": True,
        "groupBy": grouped,
        "groupsExpanded": {},
        "autoRefreshEnabled": False,
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
    }
    packed = base64.b64encode(zlib.compress(json.dumps(state).encode(), 9)).decode()
    view = {"name": name[:200], "createdAt": created_ms, "updatedAt": created_ms}
    text = json.dumps(view | {"state": f"deflate;{packed}"})
    return text if len(text) <= MAX_CHARS else None


def _sections(study: Study, names: set[str]) -> list[tuple[str, list[Json]]]:
    ladders = [  # p50 and p99 apart: a tail of seconds would flatten the rest
        line_chart("ITL by request rate", name, served_name(scenario))
        for scenario in study.scenarios
        for part in ("p50", "p99")
        if (name := ladder_name(scenario, "itl", part)) in names
    ]
    capacity = sorted(n for n in names if n.startswith("capacity/"))
    found = [
        ("ITL by request rate", ladders),
        ("Recovery", _bounded("Recovery", "recovery/", names)),
        ("Accuracy", _bounded("Accuracy", "accuracy/", names)),
        ("Capacity", [_bar("Capacity", name) for name in capacity]),
    ]
    return [(title, charts) for title, charts in found if charts]


def _bounded(section: str, prefix: str, names: set[str]) -> list[Json]:
    """Three in a row: the value between the bounds of its interval."""
    own = {name for name in names if name.startswith(prefix)}
    values = sorted(own - {f"{name}{side}" for name in own for side in ("_low", "_high")})
    rows = ((f"{name}_low", name, f"{name}_high") for name in values)
    return [_bar(section, name) for row in rows for name in row if name in own]


def _bar(section: str, metric: str) -> Json:
    return {"type": "BAR", "metricKey": metric} | _common(section, metric)


def line_chart(section: str, metric: str, x_metric: str | None) -> Json:
    """Over another metric, or over time."""
    return {
        "type": "LINE",
        "metricKey": metric,
        "selectedMetricKeys": [metric],
        "xAxisKey": "metric" if x_metric else "time",
        "selectedXAxisMetricKey": x_metric or "",
        "useGlobalXaxisKey": False,
        "xAxisScaleType": "linear",
        "scaleType": "linear",
        "range": {},
        "yAxisKey": "metric",
        "yAxisExpressions": [],
        "lineSmoothness": 0,
        "useGlobalLineSmoothing": False,
        "ignoreOutliers": False,
    } | _common(section, metric)


def _common(section: str, metric: str) -> Json:
    uuid = sha256(f"{section}\n{metric}".encode()).hexdigest()[:20]
    return {"uuid": uuid, "runsCountToCompare": 20, "metricSectionId": section, "deleted": False, "isGenerated": False}
