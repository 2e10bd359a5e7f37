"""The trend of one metric over nights: a marker a night, a step line of the levels between changes."""

from html import escape
from itertools import pairwise

import numpy as np

from harness.analysis.trend import Series
from harness.report.figures.figures import Figure, Spec, axis, layout, short
from harness.report.figures.style import VariantStyle
from harness.report.tables.comparison import metric_name
from harness.report.tables.table import table
from harness.report.words import number


def trend_figure(own: list[Series], looks: dict[str, VariantStyle], id: str) -> Figure:
    """`own`: the same metric and load of several variants."""
    traces: list[Spec] = []
    for series in own:
        look, name = looks[series.variant], escape(series.label)
        x, y = [point.at for point in series.points], [point.value for point in series.points]
        places = [escape(point.place) for point in series.points]
        marker = {"symbol": look.marker, "size": 9, "color": look.token}
        common: Spec = {"type": "scatter", "meta": series.variant, "name": name, "x": x}
        hover = "%{fullData.name}<br>%{y:.4~g} on %{x}<br>%{customdata}<extra></extra>"
        dots = {"mode": "markers", "y": [short(v) for v in y], "customdata": places, "marker": marker}
        traces.append(common | dots | {"hovertemplate": hover})
        line = {"color": look.token, "width": 2, "shape": "hv"}
        traces.append(common | {"mode": "lines", "y": _levels(series, y), "line": line, "hoverinfo": "skip"})
    first = own[0]
    what = ", ".join(filter(None, (first.subject, first.load, metric_name(first.metric))))
    rows = [[s.label, p.at, p.place, number(p.value)] for s in own for p in s.points]
    data = table(what, ["Variant", "Measured", "Store", f">{first.metric}"], rows, group=0)
    shape = layout(axis("measured") | {"type": "date"}, axis(first.metric) | {"tickformat": ",.6~g"})
    summary = f"{what} of {len(own)} variants over {max(len(s.points) for s in own)} nights"
    return Figure(id, what, summary, {"data": traces, "layout": shape}, data)


def _levels(series: Series, values: list[float]) -> list[float]:
    """The geometric mean of the stretch that each night is in."""
    edges = [0, *(change.at for change in series.changes), len(values)]
    found: list[float] = []
    for start, end in pairwise(edges):
        part = values[start:end]
        level = float(np.exp(np.mean(np.log(part)))) if min(part) > 0 else float(np.mean(part))
        found += [short(level)] * len(part)
    return found
