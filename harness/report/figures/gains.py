"""Figures of the attribution ladder and of the rate within a latency, over deployments."""

from html import escape

from harness.analysis import Findings
from harness.analysis.speed.attribution import cumulative
from harness.analysis.speed.cutoffs import rate_curve
from harness.analysis.speed.performance import ladder
from harness.analysis.statistics.intervals import Estimate
from harness.report.figures.figures import Figure, axis, bars, latency_axis, layout, limit_line, short
from harness.report.figures.style import VariantStyle
from harness.report.tables.gains import attribution_data
from harness.report.tables.table import Table, times_label

ROW_PX, MARGIN_PX = 34, 90
ALL = "all scenarios"


def ladder_figure(findings: Findings, looks: dict[str, VariantStyle], id: str) -> Figure | None:
    """One line a scenario, from the first variant at 1 to the last: what each step adds is its stretch of the line."""
    study = findings.study
    ladders = {scenario: cumulative(findings.rungs, scenario) for scenario in study.scenarios}
    ladders = {ALL: cumulative(findings.rungs, None)} | ladders if len(ladders) > 1 else ladders
    ladders = {scenario: found for scenario, found in ladders.items() if found}
    if not ladders:
        return None
    order = [variant for variant, _ in next(iter(ladders.values()))]
    traces = [_stretch(ladders, looks, rung, study.label(order[rung])) for rung in range(1, len(order))]
    traces += [_ends(ladders, looks, rung, study.label(order[rung])) for rung in range(len(order))]
    x_axis = axis("single-stream speed-up, E2E p50") | {
        "ticksuffix": "×",
        "zeroline": False,
    }
    y_axis = axis("") | {"categoryorder": "array", "categoryarray": [escape(name) for name in reversed(ladders)]}
    y_axis |= {"type": "category"}
    shape = layout(x_axis, y_axis) | {"height": MARGIN_PX + ROW_PX * max(3, len(ladders)), "meta": "ladder"}
    steps = "; ".join(f"{study.label(r.start)} to {study.label(r.end)}: {r.adds}" for r in findings.rungs)
    title = "Where the single-stream speed-up comes from"
    return Figure(
        id, title, f"{title}. {steps}", {"data": traces, "layout": shape}, attribution_data(findings, ladders)
    )


Ladders = dict[str, list[tuple[str, Estimate]]]


def _stretch(ladders: Ladders, looks: dict[str, VariantStyle], rung: int, label: str) -> dict:
    """The pieces of the lines that lead to one variant, in its colour."""
    x, y, variant = [], [], ""
    for scenario, found in ladders.items():
        variant = found[rung][0]
        x += [short(found[rung - 1][1].value), short(found[rung][1].value), None]
        y += [escape(scenario), escape(scenario), None]
    line = {"color": looks[variant].token, "width": 5}
    return {"type": "scatter", "mode": "lines", "meta": variant, "name": f"to {escape(label)}", "x": x, "y": y,
            "line": line, "opacity": 0.55, "hoverinfo": "skip"}  # fmt: skip


def _ends(ladders: Ladders, looks: dict[str, VariantStyle], rung: int, label: str) -> dict:
    values = [found[rung][1] for found in ladders.values()]
    variant = next(iter(ladders.values()))[rung][0]
    look = looks[variant]
    trace = {
        "type": "scatter",
        "mode": "markers",
        "meta": variant,
        "name": escape(label),
        "x": [short(value.value) for value in values],
        "y": [escape(scenario) for scenario in ladders],
        "marker": {"symbol": look.marker, "size": 12, "color": look.token, "line": {"color": "@page", "width": 1}},
        "hovertemplate": "%{fullData.name}<br>%{y}: %{x:.2f}×<extra></extra>",
    }
    if rung and all(value.bounded for value in values):
        trace["error_x"] = bars(values, 1, look)
    return trace


def envelope_figure(
    findings: Findings, looks: dict[str, VariantStyle], scenario: str, metric: str, id: str, data: Table
) -> Figure:
    """The served rate at equal GPUs within each latency: thin a deployment, thick the best of a variant's."""
    study, found = findings.study, findings.envelopes[scenario, metric]
    name = metric.removesuffix("_ms_p99").upper()
    traces, latencies, rates = [], [], []
    for family, names in found.families.items():
        curves = {}
        for variant in names:
            if replicas := found.replicas.get(variant):
                curve = rate_curve(ladder(findings.points[variant, scenario]), metric)
                curves[variant] = [(latency, rate * replicas) for latency, rate in curve]
        for variant, curve in curves.items():
            if curve:
                label = times_label(study, found.replicas[variant], variant)
                traces.append(_deployment(variant, looks[variant], curve, label))
                latencies += [latency for latency, _ in curve]
                rates += [rate for _, rate in curve]
        if len(curves) > 1 and (best := best_of(list(curves.values()))):
            line = {"color": looks[family].token, "width": 7, "shape": "hv"}
            x, y = ([short(value) for value in side] for side in zip(*best, strict=True))
            label = escape(study.label(family))
            traces.insert(0, {"type": "scatter", "mode": "lines", "meta": family, "name": f"{label}, envelope", "x": x,
                              "y": y, "line": line, "opacity": 0.3, "hoverinfo": "skip"})  # fmt: skip
    limit = study.scenarios[scenario].slo.get(metric)
    x_axis = latency_axis(f"p99 {name}", latencies + ([limit] if limit and latencies else []))
    gpus = f" on {found.gpus} GPUs" if found.gpus > 1 else ""
    y_axis = axis(f"requests/s{gpus}") | ({"range": [0, short(1.1 * max(rates))]} if rates else {})
    shape = layout(x_axis, y_axis) | (limit_line(limit, x_axis, upright=True) if limit and traces else {})
    title = f"Requests/s within a p99 {name}, {scenario}"
    return Figure(id, title, f"{title}{gpus}, {len(study.variants)} variants", {"data": traces, "layout": shape}, data)


def _deployment(variant: str, look: VariantStyle, curve: list[tuple[float, float]], label: str) -> dict:
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "meta": variant,
        "name": escape(label),
        "x": [short(latency) for latency, _ in curve],
        "y": [short(rate) for _, rate in curve],
        "line": {"color": look.token, "width": 1.5, "dash": look.dash, "shape": "linear"},
        "marker": {"symbol": look.marker, "size": 8, "color": look.token},
        "hovertemplate": "%{fullData.name}<br>%{y:.3~g}/s within %{x:.4~g} ms<extra></extra>",
    }


def best_of(curves: list[list[tuple[float, float]]]) -> list[tuple[float, float]]:
    """The highest rate that any curve has reached by each latency: steps at measured points, nothing in between."""
    best, found = 0.0, []
    for latency, rate in sorted(point for curve in curves for point in curve):
        if rate > best:
            best = rate
            found.append((latency, rate))
    return found
