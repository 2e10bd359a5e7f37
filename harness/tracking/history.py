"""The history of a sweep: a run a variant, to which each measurement adds its point, so that MLflow draws trends.

Steps are seconds since 1970 and timestamps the moment of measurement, not of logging. Points are only added: of a
measurement that is logged again, what is there already stays as it is.
"""

import json
from hashlib import sha256
from typing import Any

from mlflow.entities import Metric, RunTag

from harness.records.fields import Json
from harness.tracking.metrics import Metrics
from harness.tracking.view import line_chart, page_state

HISTORY = "harness.history"  # a tag: the hardware that the sweep is measured on
LOGGED = "harness.logged."  # and the measurement: a digest of its values, when they are all there
BATCH = 1000
CHARTS = ("itl_ms_p50", "itl_ms_p99", "ttft_ms_p50", "ttft_ms_p99", "output_tok_per_s", "max_qps_at_slo", "recovery/")


def add_point(client: Any, run: Any, measurement: str, values: Metrics, at_ms: int) -> set[str]:
    """Add a measurement's scalars to a history run; return their names."""
    scalars = {n: v for (n, step), v in values.items() if step == 0 and not n.endswith(("_low", "_high"))}
    tag, run_id = LOGGED + measurement, run.info.run_id
    digest = sha256(json.dumps(scalars, sort_keys=True).encode()).hexdigest()[:16]
    if run.data.tags.get(tag) == digest:
        return set(scalars)
    step = at_ms // 1000
    known = run.data.metrics.keys() & scalars.keys()
    there = {n for n in known if any(m.step == step for m in client.get_metric_history(run_id, n))}
    new = [Metric(name, value, at_ms, step) for name, value in scalars.items() if name not in there]
    for start in range(0, len(new), BATCH):
        client.log_batch(run_id, metrics=new[start : start + BATCH])
    client.log_batch(run_id, tags=[RunTag(tag, digest)])
    return set(scalars)


def trend_view(sweep: str, search: str, names: set[str], created_ms: int) -> str | None:
    """Return the tag's value of a view with a chart a scenario and metric, a line a variant; None where too long."""
    drawn = sorted(name for name in names if any(part in name for part in CHARTS))
    sections: list[tuple[str, list[Json]]] = [("Trend", [line_chart("Trend", name, None) for name in drawn])]
    return page_state(f"{sweep}: trend", search, sections, created_ms)
