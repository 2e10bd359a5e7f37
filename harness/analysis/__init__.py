"""From records to findings: paired statistics, load curves, Pareto fronts. Pure: no network, no engine, no clock.

`build_study(manifest, records, rows, failures)` gives a Study, `analyse(study)` its Findings.
"""

from harness.analysis.findings import Findings, analyse
from harness.analysis.study import Study, build_study

__all__ = ["Findings", "Study", "analyse", "build_study"]
