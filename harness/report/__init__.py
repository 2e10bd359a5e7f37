"""The report: a pure function of the study. The same records give the same bytes.

index.html (one file, works offline), release_notes.md with charts/*.svg, model_card.md and one card a variant in
model_cards/, summary.json (summary.schema.json has its form), cells.csv.
"""

import os
import tempfile
from pathlib import Path

from harness.analysis import Findings, Study, analyse
from harness.report.cells import cells_csv
from harness.report.charts import charts
from harness.report.model_card import model_cards
from harness.report.notes import release_notes
from harness.report.page import render_page
from harness.report.summary import summary_json

__all__ = ["write_report"]


def write_report(study: Study, out_dir: Path, findings: Findings | None = None) -> Path:
    """Writes the report's files into `out_dir`, each of them whole or not at all, and returns index.html.

    `findings`: `analyse(study)`, where the caller has it already.
    """
    findings = findings or analyse(study)
    drawn = charts(findings)
    files = {
        "cells.csv": cells_csv(findings),
        "summary.json": summary_json(findings),
        "release_notes.md": release_notes(findings, drawn),
        **{name: text for name, (_, text) in drawn.items()},
        **model_cards(findings),
        "index.html": render_page(findings),
    }
    out_dir = Path(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    for folder in ("charts", "model_cards"):
        _clear(out_dir / folder, {Path(name).name for name in files if name.startswith(f"{folder}/")})
    for name, text in files.items():
        (out_dir / name).parent.mkdir(exist_ok=True)
        _write(out_dir / name, text)
    return out_dir / "index.html"


def _clear(folder: Path, wanted: set[str]) -> None:
    """Removes what an older report left: a chart of a scenario that is no longer there would look like this one's."""
    for path in [*folder.glob("*.svg"), *folder.glob("*.md")] if folder.is_dir() else ():
        if path.name not in wanted:
            path.unlink()


def _write(path: Path, text: str) -> None:
    """A reader sees the old file or the new one, never half of it. Lone surrogates from a server become ``?``."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text.encode("utf-8", errors="replace"))
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp makes it private
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
