"""The report's page: the sections in the frame of frame.py."""

from harness.analysis import Findings
from harness.report.figures.style import styles
from harness.report.pages.frame import render
from harness.report.sections import FIRST, Filled
from harness.report.words import BRACKETS, plural


def render_page(findings: Findings, sections: tuple[Filled, ...]) -> str:
    study, shown = findings.study, [section for section in sections if section.on_page]
    return render(
        "page.html",
        title=f"{study.name}: accuracy against performance",
        looks=styles(study.variants, study.baseline),
        labels={name: variant.label for name, variant in study.variants.items()},
        marks=findings.marks,
        study=study,
        serves=findings.serves,
        first=[section for section in shown if section.id == FIRST],
        sections=[section for section in shown if section.id != FIRST],
        plural=plural,
        brackets=BRACKETS,
    )
