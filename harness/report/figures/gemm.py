"""Figures of the GEMM study: speed-up by batch size, as in the 2024 sparse FP8 study, and the roofline."""

import math
from html import escape

from harness.analysis import Findings
from harness.analysis.speed.gemm import Gemm
from harness.analysis.statistics.intervals import Estimate
from harness.analysis.study import Study
from harness.report.figures.figures import Figure, Spec, axis, bars, layout, short
from harness.report.figures.style import VariantStyle
from harness.report.tables.gemm import batches_table
from harness.report.tables.table import Table

TICKS = 8  # of batch sizes, at most
ROOM = 0.06  # beside the outermost points, decades


def gemm_figures(findings: Findings, looks: dict[str, VariantStyle]) -> list[Figure]:
    if findings.gemm is None:
        return []
    data, found, study = batches_table(findings), findings.gemm, findings.study
    return [_speedup_figure(found, study, looks, data), _roofline_figure(found, study, looks, data)]


def _speedup_figure(found: Gemm, study: Study, looks: dict[str, VariantStyle], data: Table) -> Figure:
    traces: list[Spec] = []
    if study.baseline in found.wholes and found.batches:
        ends = [found.batches[0], found.batches[-1]]
        line = {"color": looks[study.baseline].token, "width": 1.5, "dash": "dot"}
        traces.append({"type": "scatter", "mode": "lines", "meta": study.baseline, "x": ends, "y": [1, 1],
                       "name": escape(study.label(study.baseline)), "line": line, "hoverinfo": "skip"})  # fmt: skip
    for name, wholes in found.wholes.items():
        label = escape(study.label(name))
        for valid in (True, False):
            if shown := {b: w.speedup for b, w in wholes.items() if w.speedup and w.valid is valid}:
                traces.append(_speedups(name, label, looks[name], shown, valid))
    tall = [e.high or e.value for w in found.wholes.values() for p in w.values() if (e := p.speedup)]
    step = -(-len(found.batches) // TICKS)
    ticks = found.batches[::step]
    x_axis = axis("batch size, tokens of a step") | _log([float(batch) for batch in found.batches])
    x_axis |= {"tickvals": list(ticks), "ticktext": [f"{tick:,}" for tick in ticks]}
    y_axis = axis(f"speed-up over {escape(study.label(study.baseline))}") | {"ticksuffix": "×"}
    y_axis |= {"range": [0, short(1.1 * max([1.0, *tall]))]}
    title = "Speed-up of a layer's products by batch size"
    summary = f"{title}, {len(found.wholes)} variants, batch sizes {found.batches[0]} to {found.batches[-1]}"
    return Figure("gemm-speedup", title, summary, {"data": traces, "layout": layout(x_axis, y_axis)}, data)


def _speedups(name: str, label: str, look: VariantStyle, speedups: dict[int, Estimate], valid: bool) -> Spec:
    """`speedups`: by batch size."""
    ratios = list(speedups.values())
    trace: Spec = {
        "type": "scatter",
        "mode": "lines+markers" if valid else "markers",
        "meta": name,
        "name": label,
        "x": list(speedups),
        "y": [short(ratio.value) for ratio in ratios],
        "hovertemplate": "%{fullData.name}" + ("" if valid else ", WRONG PRODUCT")
        + "<br>batch size %{x}: %{y:.2f}×<extra></extra>",
    }  # fmt: skip
    if not valid:
        return trace | {"marker": {"symbol": "x-thin", "size": 10, "line": {"color": look.token, "width": 2.5}}}
    trace["line"] = {"color": look.token, "width": 2, "dash": "solid"}
    trace["marker"] = {"symbol": look.marker, "size": 9, "color": look.token}
    if any(ratio.bounded for ratio in ratios):  # a point of few rounds has no bar
        trace["error_y"] = bars([e if e.bounded else Estimate(e.value, e.value, e.value) for e in ratios], 1, look)
    return trace


def _roofline_figure(found: Gemm, study: Study, looks: dict[str, VariantStyle], data: Table) -> Figure:
    """Achieved TFLOP/s against FLOP/byte, a point a batch size; broken: what the roofline allows."""
    traces: list[Spec] = []
    points = [whole for wholes in found.wholes.values() for whole in wholes.values()]
    across = [whole.intensity for whole in points]
    heights = [whole.flops / whole.seconds / 1e12 for whole in points]
    for name, wholes in found.wholes.items():
        look, label = looks[name], escape(study.label(name))
        shown = list(wholes.values())
        symbols = [look.marker if whole.valid else f"{look.marker}-open" for whole in shown]
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "meta": name,
                "name": label,
                "x": [short(whole.intensity) for whole in shown],
                "y": [short(whole.flops / whole.seconds / 1e12) for whole in shown],
                "customdata": [whole.batch for whole in shown],
                "line": {"color": look.token, "width": 1, "dash": "solid"},
                "marker": {"symbol": symbols, "size": 8, "color": look.token, "line": {"color": look.token}},
                "hovertemplate": "%{fullData.name}, batch size %{customdata}<br>%{y:.3~g} TFLOP/s at %{x:.3~g} "
                "FLOP/byte<extra></extra>",
            }
        )
        if roof := _roof_line(found, name, min(across), max(across)):
            heights += roof[1]
            line = {"color": look.token, "width": 1.5, "dash": look.dash}
            traces.append({"type": "scatter", "mode": "lines", "meta": name, "name": f"{label}, roofline",
                           "x": roof[0], "y": roof[1], "line": line, "hoverinfo": "skip"})  # fmt: skip
    x_axis = axis("arithmetic intensity, FLOP/byte, log scale") | _log(across, ticks=True)
    y_axis = axis("TFLOP/s, log scale") | _log(heights, ticks=True)
    title = "Achieved TFLOP/s against the roofline"
    summary = f"{title}, {len(found.wholes)} variants, a point a batch size; broken: what the roofline allows"
    return Figure("gemm-roofline", title, summary, {"data": traces, "layout": layout(x_axis, y_axis)}, data)


def _roof_line(found: Gemm, name: str, low: float, high: float) -> tuple[list[float], list[float]] | None:
    """None where the peak of the format is not known."""
    roof = found.roofs.get(name)
    if roof is None or roof.peak is None:
        return None
    ridge = roof.peak / roof.bandwidth
    x = sorted({low, high, ridge} if low < ridge < high else {low, high})
    heights = [flops for value in x if (flops := roof.attainable(value)) is not None]
    return [short(value) for value in x], [short(flops / 1e12) for flops in heights]


def _log(values: list[float], ticks: bool = False) -> Spec:
    low, high = math.log10(min(values)) - ROOM, math.log10(max(values)) + ROOM
    scale: Spec = {"type": "log", "range": [short(low), short(high)]}
    if not ticks:
        return scale
    steps = (1, 2, 5) if high - low < 2.5 else (1,)
    marks = [step * 10.0**power for power in range(math.floor(low), math.ceil(high) + 1) for step in steps]
    return scale | {"tickvals": marks, "ticktext": [f"{mark:,.0f}" if mark >= 1 else f"{mark:g}" for mark in marks]}
