"""The report of a sweep that still runs."""

import json
from dataclasses import replace
from pathlib import Path

from harness.analysis.to_come import SessionToCome, ToCome
from harness.report import write_report
from tests.unit.report.synthetic_records import VARIANTS
from tests.unit.report.synthetic_study import build, parts

COMING = ToCome((SessionToCome("fp8", 12, 90.0), SessionToCome("judge", 1, 3600.0)), "2026-11-30T21:00+00:00")
SENTENCE = (
    "written during the run, at 2026-11-30T21:00+00:00: 13 of 27 cells were still to come (fp8, judge), about 1:01:30; "
    "if it was stopped since, the same command goes on from here"
)


def test_it_is_marked_incomplete_and_says_what_is_to_come(tmp_path: Path) -> None:
    manifest, records, rows = parts(variants={name: VARIANTS[name] for name in ("bf16", "fp8")}, rates=[1.0])
    study = build(manifest, [record for record in records if record["cell"]["variant"] == "bf16"], rows)
    complete = len(study.measured) + len(study.missing)
    index = write_report(replace(study, to_come=COMING), tmp_path / "running")
    page, notes = index.read_text(), (index.parent / "release_notes.md").read_text()
    sentence = SENTENCE.replace("27", str(complete))
    assert sentence in page and sentence in notes
    marks = json.loads((index.parent / "summary.json").read_text())["marks"]
    assert marks[0]["word"] == "INCOMPLETE" and "not measured" not in json.dumps(marks), "said once"
    assert page.index('id="to_come"') < page.index('id="verdict"')
    assert 'href="#to_come"' in page
    partial = write_report(study, tmp_path / "stopped").read_text()
    assert "the sweep is running" not in partial and f"{len(study.missing)} of {complete} cells not measured" in partial
