"""The report: a pure function of the study. The same records give the same bytes.

index.html (one file, works offline), release_notes.md, summary.json, cells.csv.
"""

import os
import tempfile
from pathlib import Path

from harness.analysis import Findings, Study, analyse
from harness.report.notes import release_notes
from harness.report.page import render_page
from harness.report.summary import cells_csv, summary_json

__all__ = ["write_report"]


def write_report(study: Study, out_dir: Path, findings: Findings | None = None) -> Path:
    """Writes the report's files into `out_dir`, each of them whole or not at all, and returns index.html.

    `findings`: `analyse(study)`, where the caller has it already.
    """
    findings = findings or analyse(study)
    files = {
        "cells.csv": cells_csv(findings),
        "summary.json": summary_json(findings),
        "release_notes.md": release_notes(findings),
        "index.html": render_page(findings),
    }
    out_dir = Path(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        _write(out_dir / name, text)
    return out_dir / "index.html"


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
