"""Figures as plotly specifications: plain dicts, drawn by page.js. Colours are tokens (style.py), text is escaped.

plotly reads a small HTML dialect in its text (links among it), so every text from outside goes through `escape`.
"""

import math
from dataclasses import dataclass
from html import escape
from typing import Any

from harness.analysis import Findings
from harness.analysis.speed.performance import PointResult, ladder
from harness.analysis.statistics.intervals import Estimate
from harness.report.figures.style import VariantStyle
from harness.report.tables.table import Table

Spec = dict[str, Any]  # plotly's: a trace, a layout, an axis
PERCENTILES = "solid: p50, dashed: p99"
LOG_FROM = 12.0  # a latency axis is logarithmic when its values differ by more than this factor


@dataclass(frozen=True)
class Figure:
    """`spec`: {"data": traces, "layout": layout}; a trace's `meta` is its variant, for the legend's buttons.

    `key`: what its lines mean, in a few words beside the title.
    """

    id: str
    title: str
    summary: str  # for a reader who cannot see it
    spec: Spec
    table: Table
    key: str = ""


def curve_figure(
    findings: Findings, looks: dict[str, VariantStyle], scenario: str, latency: str, id: str, data: Table
) -> Figure:
    """A latency against the served rate: p50 solid, p99 dashed, invalid points as crosses."""
    name = latency.removesuffix("_ms").upper()
    traces, per = [], " per GPU" if findings.study.gpus_differ else ""
    for variant in findings.study.variants:
        points = ladder(findings.points[variant, scenario])
        for part in ("p50", "p99"):
            share = 1 / findings.study.variants[variant].gpus if per else 1.0
            label = findings.study.label(variant)
            traces += _curve(label, variant, looks[variant], points, f"{latency}_{part}", part, share)
    limit = findings.study.scenarios[scenario].slo.get(f"{latency}_p99")
    drawn = [y for trace in traces for y in trace["y"]]
    y_axis = latency_axis(name, drawn + ([limit] if limit and drawn else []))
    right = max((x for trace in traces for x in trace["x"]), default=1.0)
    shape = layout(axis(f"served rate{per}, requests/s") | {"range": [0, short(1.08 * right)]}, y_axis)
    if limit and drawn:
        shape |= limit_line(limit, y_axis)
    count = len(findings.study.variants)
    summary = f"{name} p50 and p99 of {count} variants against the served request rate{per}, {scenario}"
    spec = {"data": traces, "layout": shape}
    return Figure(id, f"{name} against request rate{per}", summary, spec, data, PERCENTILES)


def latency_axis(name: str, heights: list[float]) -> Spec:
    """From zero where the values are alike, else logarithmic with a tick at 1, 2 and 5 of every decade."""
    if heights and min(heights) > 0 and max(heights) / min(heights) > LOG_FROM:
        low, high = math.log10(min(heights)) - 0.12, math.log10(max(heights)) + 0.12
        ticks = [step * 10.0**power for power in range(-1, 7) for step in (1, 2, 5)]
        texts = [f"{tick:,.0f}" if tick >= 1 else f"{tick:g}" for tick in ticks]
        scale = {"type": "log", "range": [short(low), short(high)], "tickvals": ticks, "ticktext": texts}
        return axis(f"{name}, ms, log scale") | scale
    scale = {"tickformat": ",.6~g"}
    return axis(f"{name}, ms") | scale | ({"range": [0, short(1.12 * max(heights))]} if heights else {})


def limit_line(limit: float, along: Spec, upright: bool = False) -> Spec:
    """The SLO as a line; `along`: the latency's axis, which is x where the line is `upright`."""
    place = math.log10(limit) if along.get("type") == "log" else limit  # annotations take the exponent, shapes do not
    a, b = ("y", "x") if upright else ("x", "y")
    line = {"type": "line", f"{a}ref": "paper", f"{a}0": 0, f"{a}1": 1, f"{b}0": limit, f"{b}1": limit}
    note = {
        f"{a}ref": "paper",
        a: 0.99 if upright else 0.01,
        b: short(place),
        f"{b}anchor": "left" if upright else "bottom",
    }
    note |= {f"{a}anchor": "top" if upright else "left", "font": {"color": "@bad", "size": 11}}
    note |= {"text": f"SLO p99 ≤ {limit:g} ms", "showarrow": False}
    style = {"layer": "below", "line": {"color": "@bad", "width": 1.5}}
    return {"shapes": [line | style], "annotations": [note]}


def _curve(
    label: str, variant: str, look: VariantStyle, points: tuple[PointResult, ...], metric: str, part: str, share: float
) -> list:
    """`share`: of the served rate that is on the axis: one GPU's, where the variants have different numbers."""
    known = [p for p in points if p.served_rps is not None and p.value(metric) is not None]
    valid, invalid = [p for p in known if p.valid], [p for p in known if not p.valid]
    traces: list[Spec] = []
    hover = "%{fullData.name}<br>offered %{customdata}/s<br>%{y:.4~g} ms at %{x:.3~g}/s<extra></extra>"
    hover = hover.replace("/s<extra>", "/s a GPU<extra>") if share < 1 else hover
    common: Spec = {"type": "scatter", "meta": variant, "name": f"{escape(label)}, {part}", "hovertemplate": hover}
    if valid:
        traces.append(
            common
            | {
                "mode": "lines+markers",
                "x": _served(valid, share),
                "y": [short(p.known(metric)) for p in valid],
                "error_y": _repeats(valid, metric, look),
                "customdata": [p.rate_rps for p in valid],
                "line": {"color": look.token, "width": 2, "dash": "solid" if part == "p50" else look.dash},
                "marker": {
                    "symbol": [look.marker if p.reached else f"{look.marker}-open" for p in valid],
                    "size": 9,
                    "color": look.token,
                    "line": {"color": look.token, "width": 1.5},
                },
            }
        )
    if invalid:
        traces.append(
            common
            | {
                "mode": "markers",
                "x": _served(invalid, share),
                "y": [short(p.known(metric)) for p in invalid],
                "customdata": [p.rate_rps for p in invalid],
                "hovertemplate": hover.replace("<br>", ", INVALID<br>", 1),
                "marker": {"symbol": "x-thin", "size": 10, "line": {"color": look.token, "width": 2.5}},
            }
        )
    return traces


def _served(points: list[PointResult], share: float) -> list[float]:
    return [short(rate * share) for point in points if (rate := point.served_rps) is not None]


def _repeats(points: list[PointResult], metric: str, look: VariantStyle) -> Spec:
    """Bars from the smallest to the largest repeat."""
    if not any(point.spread(metric) for point in points):
        return {"visible": False}
    values = [point.known(metric) for point in points]
    spreads = [point.spread(metric) or (value, value) for point, value in zip(points, values, strict=True)]
    above = [short(most - value) for value, (_, most) in zip(values, spreads, strict=True)]
    below = [short(value - least) for value, (least, _) in zip(values, spreads, strict=True)]
    return {"array": above, "arrayminus": below, "color": look.token, "thickness": 1, "width": 3}


def bars(estimates: list[Estimate], scale: float, look: VariantStyle) -> Spec:
    """Error bars of 95 % intervals; none where one is lacking."""
    known = [(estimate.value, estimate.bounds) for estimate in estimates if estimate.bounds]
    if len(known) < len(estimates):
        return {"visible": False}
    above = [short(scale * (high - value)) for value, (_, high) in known]
    below = [short(scale * (value - low)) for value, (low, _) in known]
    found = {"type": "data", "symmetric": False, "array": above, "arrayminus": below}
    return found | {"color": look.token, "thickness": 1.2, "width": 4}


def axis(title: str) -> Spec:
    colours = {"gridcolor": "@grid", "linecolor": "@rule", "tickcolor": "@rule", "zerolinecolor": "@rule"}
    return {"title": {"text": title, "standoff": 8}, "automargin": True, **colours}


def layout(x_axis: Spec, y_axis: Spec) -> Spec:
    return {
        "xaxis": x_axis,
        "yaxis": y_axis,
        "showlegend": False,
        "margin": {"l": 62, "r": 14, "t": 14, "b": 48},
        "height": 340,
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "system-ui, sans-serif", "size": 12, "color": "@ink"},
        "hoverlabel": {"bgcolor": "@page", "font": {"color": "@ink"}, "bordercolor": "@rule"},
        "dragmode": False,
    }


def short(value: float) -> float:
    """Six significant digits: more than a figure shows, and the same bytes on every machine."""
    return float(f"{value:.6g}")
