"""The report's page: the sections in the frame of frame.py."""

from harness.analysis import Findings
from harness.report.figures.style import styles
from harness.report.pages.frame import render
from harness.report.sections import Filled
from harness.report.words import plural


def render_page(findings: Findings, sections: tuple[Filled, ...]) -> str:
    study = findings.study
    return render(
        "page.html",
        title=f"{study.name}: accuracy against performance",
        looks=styles(study.variants, study.baseline),
        labels={name: variant.label for name, variant in study.variants.items()},
        marks=findings.marks,
        study=study,
        serves=findings.serves,
        sections=[section for section in sections if section.on_page],
        plural=plural,
    )
