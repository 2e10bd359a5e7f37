"""The small SVG files beside the release notes: verdict-bearing figures of the page."""

from dataclasses import replace

from harness.analysis import Findings
from harness.report.blocks import Drawing
from harness.report.figures.style import styles
from harness.report.figures.svg import svg


def charts(findings: Findings, drawings: list[Drawing]) -> dict[str, str]:
    """{"charts/pareto_latency.svg": its SVG}, of the figures that have a file and something to show."""
    study = findings.study
    looks = styles(study.variants, study.baseline)
    labels = {name: variant.label for name, variant in study.variants.items()}
    return {
        drawing.path: svg(replace(drawing.figure, title=drawing.chart_title or drawing.figure.title), looks, labels)
        for drawing in drawings
        if drawing.path
    }
