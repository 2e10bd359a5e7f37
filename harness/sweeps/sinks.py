"""What a sweep writes from its store: the report and MLflow. Each may fail alone, and the store is whole."""

import contextlib
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from harness.config.schema import Config
from harness.errors import HarnessError
from harness.machine import disk
from harness.records.store import Store
from harness.redaction.masking import mask
from harness.sweeps.run import Run

if TYPE_CHECKING:  # the analysis and SciPy: half of a second in which a mistake of the command line is to be said
    from harness.analysis import Findings
    from harness.analysis.to_come import SessionToCome, ToCome

SHARE = 20  # an update is due once twenty times what the last one took has passed: at most 5 % of a run
FIRST_S = 3.0  # what the first is taken to cost, imports included: due after a session of a minute


@dataclass(frozen=True)
class Written:
    """Path of the report's page, and where MLflow compares the variants; None for a sink that failed or is off."""

    report: Path | None = None
    compare: str | None = None
    checks_kept: bool = True  # False: one of the sweep's checks failed


def write_sinks(store: Store, config: Config, out: Path) -> Written:
    """Write the report and log to MLflow when a run ends, and print the answer.

    What fails is said on stderr, with the command that repeats it.
    """
    from harness.analysis import analyse
    from harness.analysis.decision.checks import check_results
    from harness.analysis.decision.checks import failed as any_failed
    from harness.analysis.load_study import load_study
    from harness.report import write_report
    from harness.report.console import print_table
    from harness.report.recommendation import conclusion
    from harness.report.tables.checks import checks_summary, checks_table
    from harness.report.tables.slo import slo_table

    study = load_study(store.root)
    findings = analyse(study)
    try:
        report = write_report(study, out, findings)
    except OSError as error:
        again = f"python -m harness.report {shlex.quote(str(store.root))}"
        print(f"the report could not be written ({_why(error, out)}); repeat it with: {again}", file=sys.stderr)
        return Written()
    results = check_results(findings)
    if results:
        print_table(checks_table(findings), checks_summary(findings, results))
    if (rates := slo_table(findings)).rows:
        print_table(rates)
    if answer := conclusion(findings):
        run = [f"Run: {answer.command}"] if answer.command else []
        print("", answer.headline, *(f"  {sentence}" for sentence in answer.evidence), *run, sep="\n")
    compare = None
    if config.mlflow.enabled:
        try:
            compare = _log_to_mlflow(findings, out, config, store.root)
        except HarnessError as error:
            print(f"MLflow: {error}", file=sys.stderr)
    return Written(report, compare, not any_failed(results))


def _log_to_mlflow(findings: "Findings", out: Path, config: Config, root: Path) -> str:
    """Raises HarnessError. MLflow takes seconds to import: not where its database is as logging this left it."""
    from harness.tracking.kept import keep_link, kept_link

    uri, experiment = config.mlflow.tracking_uri, config.mlflow.experiment
    if kept := kept_link(root, out, uri, experiment):
        return kept
    from harness.tracking import track

    link = track(findings.study, out, uri, experiment, findings, root)
    with contextlib.suppress(OSError):  # without it the same command logs again
        keep_link(link, root, out, uri, experiment)
    return link


def _why(error: OSError, out: Path) -> str:
    return f"no space left for {out}; free some" if disk.is_full(error) else mask(str(error))


@dataclass
class Updates:
    """Brings report and MLflow up to date between two sessions, when no cell is measured and no engine runs."""

    config: Config
    out: Path
    clock: Callable[[], float] = time.monotonic
    last_s: float = field(init=False)
    cost_s: float = FIRST_S

    def __post_init__(self) -> None:
        self.last_s = self.clock()

    def after_session(self, run: Run) -> None:
        """Update them where sessions are still to come and an update is due. What fails is said in one line."""
        from harness.analysis.to_come import ToCome

        coming = tuple(sessions_to_come(run))
        began_s = self.clock()
        if not (self.config.report.live and coming and began_s - self.last_s >= SHARE * self.cost_s):
            return
        for line in self._update(run, ToCome(coming, datetime.now(UTC).astimezone().isoformat(timespec="minutes"))):
            run.progress.say(line)
        self.last_s = self.clock()
        self.cost_s = self.last_s - began_s

    def _update(self, run: Run, coming: "ToCome") -> Iterator[str]:
        from harness.analysis import analyse
        from harness.analysis.load_study import load_study
        from harness.report import write_report
        from harness.tracking import track

        root, mlflow = run.store.root, self.config.mlflow
        try:
            study = replace(load_study(root), to_come=coming)
            findings = analyse(study)
            yield f"the report is up to date: {write_report(study, self.out, findings)}"
            if mlflow.enabled:
                track(study, self.out, mlflow.tracking_uri, mlflow.experiment, findings, root)
        except Exception as error:  # whatever it is: the sweep's measurements are worth more than a look at them
            why = _why(error, self.out) if isinstance(error, OSError) else f"{error}".partition("\n")[0]
            yield f"report or MLflow not updated, the sweep goes on: {mask(why) or type(error).__name__}"


def sessions_to_come(run: Run) -> Iterator["SessionToCome"]:
    """Yield each session of the run that has cells to measure, with its estimate, engine start included."""
    from harness.analysis.to_come import SessionToCome

    for session in run.plan.sessions:
        if cells := run.pending(session):
            yield SessionToCome(session.name, len(cells), run.estimates.of_session(session.name))
