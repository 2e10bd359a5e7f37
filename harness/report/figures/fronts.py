"""Pareto charts: what each variant keeps against what it gains, with bounds as arrows."""

from dataclasses import dataclass
from html import escape
from math import log10

from harness.analysis import Findings
from harness.analysis.decision.pareto import RECOVERY, Bound, Front
from harness.report.figures.figures import LOG_FROM, Figure, Spec, axis, bars, layout, short
from harness.report.figures.labels import Spot, positions
from harness.report.figures.style import VariantStyle
from harness.report.tables.table import Table
from harness.report.words import bounded_ratio

ARROW = 0.07  # of the axis
KEY = "dotted: front"
ARROWS = "arrow: only a bound is known"


@dataclass(frozen=True)
class _Axis:
    """`title` of y, the scale of its values, and how one is written."""

    title: str
    scale: float
    shown: str

    def value(self, value: float) -> float:
        return short(self.scale * value)


_KEPT = _Axis("average accuracy recovery, %", 100, "%{y:.1f} % recovery")
_PERPLEXITY = _Axis("perplexity ratio, better upwards", 1, "perplexity %{y:.3f}×")


def front_figure(findings: Findings, looks: dict[str, VariantStyle], front: Front, id: str, data: Table) -> Figure:
    """Quality against a gain, both relative to the baseline; the front as a line, dominated points pale."""
    study, y = findings.study, _KEPT if front.quality == RECOVERY else _PERPLEXITY
    traces: list[Spec] = []
    if len(front.front) > 1:
        line: dict[str, list[float]] = {"x": [], "y": []}
        for name in front.front:
            line["x"].append(short(front.points[name][0].value))
            line["y"].append(y.value(front.points[name][1].value))
        style = {"color": "@muted", "width": 1.5, "dash": "dot"}
        traces.append({"type": "scatter", "mode": "lines", **line, "line": style, "hoverinfo": "skip", "name": "front"})
    x_range, y_axis = _x_range(front), _y_axis(front, y)
    if front.drawn:
        traces += [_point(findings, looks, front, name, y) for name in front.points]
        traces += [
            _bound(findings, looks, name, bound, y, ARROW * (x_range[1] - x_range[0]))
            for name, bound in front.bounds.items()
        ]
    x_axis = axis(front.axis) | {"ticksuffix": "×", "zeroline": False, "range": [short(end) for end in x_range]}
    _place_labels(traces, x_range, y_axis)
    title = f"{'Accuracy' if front.quality == RECOVERY else 'Perplexity'} against {front.title}"
    summary = f"{title}: on the front, by rising gain, {', '.join(study.label(name) for name in front.front)}"
    said = [f"{study.label(name)} {bounded_ratio(bound.low, bound.high)}" for name, bound in front.bounds.items()]
    summary += f"; bounds: {', '.join(said)}" if said else ""
    key = ", ".join([KEY] * (len(front.front) > 1) + [ARROWS] * bool(front.bounds))
    shape = layout(x_axis, y_axis) | {"meta": "front"}
    return Figure(id, title, summary, {"data": traces, "layout": shape}, data, key)


def _point(findings: Findings, looks: dict[str, VariantStyle], front: Front, name: str, y: _Axis) -> Spec:
    gain, kept = front.points[name]
    beaten, look = name in front.dominated, looks[name]
    text = _label(findings, name)
    return {
        "type": "scatter",
        "meta": name,
        "name": escape(findings.study.label(name)),
        "mode": "markers+text",
        "x": [short(gain.value)],
        "y": [y.value(kept.value)],
        "error_x": bars([gain], 1, look),
        "error_y": bars([kept], y.scale, look),
        "text": [escape(text)],
        "textfont": {"color": "@muted" if beaten else look.token, "size": 12},  # the next name may be nearer
        "opacity": 0.45 if beaten else 1,
        "cliponaxis": False,
        "marker": {
            "symbol": look.marker,
            "size": 15 if name == findings.study.baseline else 12,
            "color": look.token,
            "line": {"color": "@page", "width": 1},
        },
        "hovertemplate": f"{escape(text)}<br>{y.shown}, %{{x:.2f}}×{'<br>dominated' if beaten else ''}<extra></extra>",
    }


def _bound(findings: Findings, looks: dict[str, VariantStyle], name: str, bound: Bound, y: _Axis, arrow: float) -> Spec:
    """An open marker at the bound with an arrow to where the value may be; between two bounds, a line."""
    look, height = looks[name], y.value(bound.quality.value)
    open_marker = f"{look.marker}-open"
    if bound.low is not None and bound.high is not None:
        ends, symbols = (bound.low, bound.high), [open_marker, open_marker]
    elif bound.low is not None:
        ends, symbols = (bound.low, bound.low + arrow), [open_marker, "triangle-right"]
    else:
        high = bound.high or 0.0
        ends, symbols = (high, high - arrow), [open_marker, "triangle-left"]
    text = escape(_label(findings, name))
    return {
        "type": "scatter",
        "meta": name,
        "name": escape(findings.study.label(name)),
        "mode": "lines+markers+text",
        "x": [short(end) for end in ends],
        "y": [height, height],
        "text": [text, ""],
        "textfont": {"color": look.token, "size": 12},
        "cliponaxis": False,
        "line": {"color": look.token, "width": 1.5},
        "marker": {"symbol": symbols, "size": 11, "color": look.token, "line": {"color": look.token, "width": 1.5}},
        "hovertemplate": f"{text}<br>{y.shown}, {bounded_ratio(bound.low, bound.high)}<extra></extra>",
    }


def _label(findings: Findings, name: str) -> str:
    text = findings.study.label(name)
    text += " (baseline)" if name == findings.study.baseline else ""
    return text + (" (emulated)" if name in findings.emulated else "")


def _x_range(front: Front) -> tuple[float, float]:
    """From below the smallest gain to above the largest, with room for names and arrows."""
    spans = [(x.low or x.value, x.high or x.value) for x, _ in front.points.values()]
    spans += [(b.low or b.high or 1.0, b.high or b.low or 1.0) for b in front.bounds.values()]
    low, high = min((s[0] for s in spans), default=0.5), max((s[1] for s in spans), default=1.5)
    room = (high - low) or 0.5
    return low - 0.12 * room, high + 0.3 * room


def _y_axis(front: Front, y: _Axis) -> Spec:
    """A ratio of perplexities falls upwards, on a logarithmic axis where the values differ much."""
    kept = [value for _, value in front.points.values()] + [bound.quality for bound in front.bounds.values()]
    ends = [y.scale * end for value in kept for end in (value.value, *(value.bounds or ()))] or [y.scale]
    low, high = min(ends), max(ends)
    found = axis(y.title) | {"zeroline": False}
    if front.quality == RECOVERY:
        room = 0.12 * (high - low) or 0.5
        return found | {"range": [short(low - room), short(high + room)]}
    if high / low > LOG_FROM:
        room = 0.12 * log10(high / low)
        ticks = [step * 10.0**power for power in range(-1, 6) for step in (1, 2, 5)]
        scale = {"type": "log", "tickvals": ticks, "ticktext": [f"{tick:g}×" for tick in ticks]}
        return found | scale | {"range": [short(log10(high) + room), short(log10(low) - room)]}
    room = 0.12 * (high - low) or 0.01
    return found | {"range": [short(high + room), short(low - room)], "ticksuffix": "×"}


def _place_labels(traces: list[Spec], x_range: tuple[float, float], y_axis: Spec) -> None:
    """Set each name's `textposition`, so that names cover no other name, marker or bar, as far as there is room."""
    low, high = y_axis["range"]
    logarithmic = y_axis.get("type") == "log"

    def share(x: float, y: float) -> tuple[float, float]:
        height = log10(max(y, 10 ** min(low, high))) if logarithmic else y
        return (x - x_range[0]) / (x_range[1] - x_range[0]), (height - low) / (high - low)

    named = [trace for trace in traces if "text" in trace]
    spots = []
    for trace in named:
        x, y = trace["x"][0], trace["y"][0]
        points = tuple(share(*point) for point in zip(trace["x"], trace["y"], strict=True))
        across = tuple(share(end, y) for end in _ends(x, trace.get("error_x", {})))
        along = tuple(share(x, end) for end in _ends(y, trace.get("error_y", {})))
        spots.append(Spot(trace["text"][0], points, (across, along)))
    for trace, position in zip(named, positions(spots), strict=True):
        trace["textposition"] = position


def _ends(value: float, error: Spec) -> tuple[float, ...]:
    """The ends of an error bar; none where it is not drawn."""
    return (value - error["arrayminus"][0], value + error["array"][0]) if "array" in error else ()
