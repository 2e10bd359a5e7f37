"""The report: a pure function of the study. The same records give the same bytes.

index.html (one file, works offline), release_notes.md with charts/*.svg, model_card.md and one card a variant in
model_cards/, summary.json (summary.schema.json has its form), cells.csv.

sections.py declares what the report has, in order; a section's blocks (blocks.py) are tables of tables/, figures of
figures/ and what composed.py makes of several. pages/ and files/ write them. A module of tables/ shows what the module
of the same name in harness/analysis found; words.py has the sentences.
"""

from pathlib import Path

from harness.analysis import Findings, Study, analyse
from harness.report.files.cells import cells_csv
from harness.report.files.charts import charts
from harness.report.files.folder import write_files
from harness.report.files.model_card import model_cards
from harness.report.files.notes import release_notes
from harness.report.files.summary import summary_json
from harness.report.pages.page import render_page
from harness.report.sections import SECTIONS, Section, drawings, fill

__all__ = ["write_report"]


def write_report(
    study: Study, out_dir: Path, findings: Findings | None = None, sections: tuple[Section, ...] = SECTIONS
) -> Path:
    """Write the report's files into `out_dir`, each of them whole or not at all, and return the path of index.html.

    `findings`: `analyse(study)`, where the caller has it already.
    """
    findings = findings or analyse(study)
    filled = fill(findings, sections)
    files = {
        "cells.csv": cells_csv(findings),
        "summary.json": summary_json(findings),
        "release_notes.md": release_notes(findings, filled),
        **charts(findings, drawings(filled)),
        **model_cards(findings),
        "index.html": render_page(findings, filled),
    }
    out_dir = Path(out_dir)
    write_files(out_dir, files)
    return out_dir / "index.html"
