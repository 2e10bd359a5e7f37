"""From records to findings: paired statistics, load curves, Pareto fronts. Pure: no network, no engine, no clock.

`build_study(manifest, records, rows, failures)` gives a Study (study.py), `analyse(study)` its Findings (findings.py):
what variants lose (quality/), what they gain (speed/), what follows from both (decision/), by statistics/.
validity.py has what a reader must know before believing a number, scalars.py the flat numbers of a variant,
comparison.py a pair of variants of one or two studies, load_study.py reads a results folder.
"""

from harness.analysis.findings import Findings, analyse
from harness.analysis.study import Study, build_study

__all__ = ["Findings", "Study", "analyse", "build_study"]
