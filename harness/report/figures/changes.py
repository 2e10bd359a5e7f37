"""The chart of a comparison: how much each headline number changes from A to B, with its interval."""

from html import escape

from harness.report.figures.figures import Figure, Spec, axis, layout, short
from harness.report.regression import Compared, Headline, headlines
from harness.report.tables.table import Table

ROW_PX, MARGIN_PX = 24, 92
TOKENS = {"bad": "@bad", "good": "@good", "": "@muted"}
NAMES = {"bad": "worse", "good": "better", "": "no difference established"}


def changes_figure(compared: Compared, data: Table) -> Figure:
    """A row a headline number of each pair; right of zero is better."""
    several = len(compared) > 1
    rows: list[tuple[str, Headline]] = []
    for comparison, _ in compared:
        label = f"{comparison.b.study.label(comparison.b.variant)}, " if several else ""
        rows += [(escape(f"{label}{found.name}"), found) for found in headlines(comparison)]
    traces = [_trace(tone, [row for row in rows if row[1].tone == tone]) for tone in TOKENS]
    order = [name for name, _ in reversed(rows)]
    y_axis = axis("") | {"type": "category", "categoryorder": "array", "categoryarray": order}
    x_axis = axis("change from A to B, %") | {
        "ticksuffix": " %",
        "zeroline": True,
        "zerolinewidth": 1.5,
        "rangemode": "tozero",
    }
    shape = layout(x_axis, y_axis) | {"height": MARGIN_PX + ROW_PX * max(4, len(rows)), "meta": "ladder"}
    title = "Change from A to B: right of zero is better"
    summary = f"{title}. {'; '.join(f'{name} {found.shown}' for name, found in rows)}"
    drawn = [trace for trace in traces if trace["x"]]
    return Figure("changes", title, summary, {"data": drawn, "layout": shape}, data)


def _trace(tone: str, rows: list[tuple[str, Headline]]) -> Spec:
    values = [100 * (found.ratio.value - 1) for _, found in rows]
    bounds = [found.ratio.bounds or (found.ratio.value, found.ratio.value) for _, found in rows]
    above = [short(100 * (high - found.ratio.value)) for (_, high), (_, found) in zip(bounds, rows, strict=True)]
    below = [short(100 * (found.ratio.value - low)) for (low, _), (_, found) in zip(bounds, rows, strict=True)]
    error = {"type": "data", "symmetric": False, "array": above, "arrayminus": below}
    return {
        "type": "scatter",
        "mode": "markers",
        "name": NAMES[tone],
        "x": [short(value) for value in values],
        "y": [name for name, _ in rows],
        "error_x": error | {"color": TOKENS[tone], "thickness": 1.5, "width": 4},
        "marker": {"symbol": "diamond" if tone == "bad" else "circle", "size": 10, "color": TOKENS[tone]},
        "customdata": [found.shown for _, found in rows],
        "hovertemplate": "%{y}: %{customdata} of A<extra></extra>",
    }
