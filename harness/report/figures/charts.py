"""The small SVG files beside the release notes: verdict-bearing figures of the page, by file name."""

from harness.analysis import Findings
from harness.analysis.speed.cutoffs import deployed
from harness.report.figures.figures import Figure
from harness.report.figures.gains import ladder_figure
from harness.report.figures.gemm import gemm_figures
from harness.report.figures.style import styles
from harness.report.figures.svg import svg
from harness.report.pages.page import curve_figures, envelope_figures, front_figures
from harness.untrusted.names import file_name

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
