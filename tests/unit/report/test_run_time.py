"""The report's table of how long a sweep took, against what was estimated."""

from dataclasses import replace

from harness.analysis import analyse
from harness.records.phase import Phase
from harness.report.sections import fill
from harness.report.tables.run_time import time_table
from harness.sweeps.estimates.estimate import finished
from tests.unit.report.synthetic_study import synthetic_study


def test_estimated_and_measured_time_of_each_kind_of_phase():
    study = synthetic_study()
    assert not time_table(analyse(study)).rows
    taken = [("load", 10.0, 20.0), ("engine start", 60.0, 50.0), ("load", 30.0, 60.0), ("report", 5.0, 500.0)]
    phases = [finished(Phase(kind=kind, rule_s=1.0), seconds, guess) for kind, guess, seconds in taken]
    findings = analyse(replace(study, phases=tuple(phases)))
    rows = [[cell.text for cell in row] for row in time_table(findings).rows]
    assert rows == [
        ["engine start", "1", "1:00", "0:50", "1.20"],
        ["load", "2", "0:40", "1:20", "0.50"],
        ["all", "3", "1:40", "2:10", "0.77"],
    ]
    (provenance,) = [section for section in fill(findings) if section.id == "provenance"]
    assert any("Time" in str(block) for block in provenance.on_page)
