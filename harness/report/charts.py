"""The small SVG files beside the release notes: verdict-bearing figures of the page, by file name."""

from harness.analysis import Findings
from harness.analysis.cutoffs import deployed
from harness.names import file_name
from harness.report.figures import Figure
from harness.report.gain_figures import ladder_figure
from harness.report.gemm_figures import gemm_figures
from harness.report.page import curve_figures, envelope_figures, front_figures
from harness.report.style import styles
from harness.report.svg import svg

FOLDER = "charts"


def charts(findings: Findings) -> dict[str, tuple[Figure, str]]:
    """{"charts/pareto_latency.svg": (figure, its SVG)}, only figures that have something to show."""
    study = findings.study
    looks = styles(study.variants, study.baseline)
    labels = {name: variant.label for name, variant in study.variants.items()}
    found: dict[str, Figure] = {}
    for front, figure in zip(findings.fronts, front_figures(findings, looks), strict=True):
        if len(front.points) > 1:
            found[f"pareto_{front.name}"] = figure
    for position, scenario in enumerate(study.scenarios):
        itl = curve_figures(findings, looks, scenario, position)[0]
        found[f"itl_{file_name(scenario)}"] = Figure(
            itl.id, f"{itl.title}, {scenario}: p50 solid, p99 broken", itl.summary, itl.spec, itl.table
        )
    if findings.rungs and (ladder := ladder_figure(findings, looks, "ladder")):
        found["attribution"] = ladder
    found |= {figure.id.replace("-", "_"): figure for figure in gemm_figures(findings, looks)}
    if deployed(study):
        for scenario, figure in zip(study.scenarios, envelope_figures(findings, looks), strict=True):
            found[f"envelope_{file_name(scenario)}"] = figure
    return {
        f"{FOLDER}/{name}.svg": (figure, svg(figure, looks, labels))
        for name, figure in found.items()
        if figure.spec["data"]
    }
