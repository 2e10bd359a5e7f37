"""Runs a session that has a server: environment, checkpoint and engine up; each cell; engine down."""

import logging
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext

from harness.checkpoints import Checkpoint
from harness.checkpoints.compatibility import repair_words
from harness.checkpoints.inspection import Inspection
from harness.checkpoints.inspection.gate import admitted, unreadable
from harness.checkpoints.planned_repairs import confirm
from harness.config.judge import judge_of
from harness.config.variants import Variant
from harness.engines import Server
from harness.engines.model_list import is_served
from harness.errors import DiskFull, HarnessError
from harness.executors.cores import apart, bound
from harness.records.cell import PlannedCell
from harness.sweeps.estimates.phases import start_key, warm_up_key
from harness.sweeps.kinds import SERVED
from harness.sweeps.measuring.judge_server import judge_server
from harness.sweeps.measuring.made_beside import making_next
from harness.sweeps.measuring.measure_cell import Measuring
from harness.sweeps.preflight.checkpoint_problems import unfingerprinted_code
from harness.sweeps.run import Run
from harness.sweeps.session import Session
from harness.sweeps.session_gpus import devices
from harness.telemetry.sampler import sampling

ENGINE_STARTS = 2  # an engine that a cell killed is started once more for the cells after it
log = logging.getLogger(__name__)


def measure_served_session(run: Run, session: Session) -> None:
    ServedSession(run, session).measure()


class ServedSession:
    """One session of a run, for a variant or the judge. Raises HarnessError where the engine cannot be started."""

    def __init__(self, run: Run, session: Session):
        self.run, self.session = run, session
        self.prepared, self.log_file = run.prepared, run.log_of(session)
        self.inspection: Inspection | None = None  # of the checkpoint, where it was looked at

    @property
    def variant(self) -> Variant | None:
        return self.prepared.config.variants[self.session.variant] if self.session.variant else None

    def _beginning(self) -> str:
        """What is done first, in the words of a progress line; credentials in a URL are masked where it is printed."""
        target = self.prepared.engine.target(self.session.label)
        return f"connecting to {target.base_url}" if target else "starting the engine"

    def measure(self) -> None:
        run, session = self.run, self.session
        checkpoint = self.prepare()
        for start in range(ENGINE_STARTS):
            if not run.pending(session):
                return
            run.progress.say(f"{session.name}: {self._beginning()}" + (" again" if start else ""))
            began = time.monotonic()
            with self.serving(checkpoint) as server:
                self.confirm_content()  # while the engine was loading it
                run.took(start_key(session.name), ready_s := time.monotonic() - began)
                run.progress.say(f"{session.name}: ready after {ready_s:.0f} s")
                self._cells(server, checkpoint)
        for cell in run.pending(session):
            run.fail(cell, f"not run: the engine died {ENGINE_STARTS} times in this session", self.log_file)

    def _cells(self, server: Server, checkpoint: Checkpoint) -> None:
        """Measure what is pending until the engine dies."""
        run, session, prepared = self.run, self.session, self.prepared
        with sampling(devices(prepared.config, prepared.engine, session)) as sampler:
            with run.timed(warm_up_key(session.name)):
                self._warm_up(server)
            run.note_spent(f"{session.name}, warm-up", run.spend(session, server.meter.lap()))
            measuring = Measuring(run, session, server, checkpoint, self.inspection, self.variant, sampler)
            while pending := run.pending(session):  # invalid cells again, after all others
                if not self._measure(measuring, [cell for cell in pending if SERVED[cell.kind].times]):
                    return
                with making_next(run, session):
                    if not self._measure(measuring, [cell for cell in pending if not SERVED[cell.kind].times]):
                        return

    def _measure(self, measuring: Measuring, cells: list[PlannedCell]) -> bool:
        """Measure the cells in turn. False when the engine died."""
        run, session = self.run, self.session
        for cell in cells:
            if refusal := run.budget.refusal(cell):
                run.fail(cell, refusal, self.log_file)
                continue
            measuring.measure(cell)
            if cell.key in run.failed and not is_served(measuring.server):
                run.progress.say(f"{session.name}: the engine died; its log: {self.log_file}")
                return False
        return True

    def prepare(self) -> Checkpoint:
        """Make environment and checkpoint ready; refuse a checkpoint that is not what its variant claims."""
        engine = self.prepared.engine
        installs = not engine.is_ready()
        with self._installing_tools():
            self.run.ready_environment()
            with engine.compiling(self.run.store.logs / "bytecode.log") if installs else nullcontext():
                return self._checkpoint()

    def _installing_tools(self) -> AbstractContextManager[None]:
        """Install the compression environment beside the engine's, where both are still to be installed."""
        session, engine, workshop = self.session, self.prepared.engine, self.prepared.workshop
        if not engine.loads_weights or session.served is None or engine.is_ready():
            return nullcontext()
        made = workshop.is_made(session.checkpoint, session.recipe)
        return nullcontext() if made else workshop.installing()

    def _checkpoint(self) -> Checkpoint:
        session, prepared = self.session, self.prepared
        engine, workshop = prepared.engine, prepared.workshop
        if not engine.loads_weights or session.served is None:
            self.run.make_checkpoint(session)
            return Checkpoint(session.checkpoint, session.checkpoint)
        self.confirm_content()
        self.run.make_checkpoint(session)
        checkpoint = workshop.prepare(session.checkpoint, session.recipe)
        self.inspection = admitted(checkpoint.location, checkpoint.revision, session.label, self.variant)
        args = (*prepared.config.engine.args, *session.args)
        if wrong := unreadable(checkpoint.location, checkpoint.revision, session.label, engine.release, args):
            raise HarnessError("\n  ".join(wrong))
        confirm([session.config_overrides], session.checkpoint, session.recipe, engine.release)
        if session.config_overrides:
            self.run.progress.say(f"{session.name}: {repair_words(session.config_overrides)}")
        if said := unfingerprinted_code(session, engine):
            self.run.progress.say(f"{session.name}: {said}")
        return checkpoint

    def confirm_content(self) -> None:
        """Raise HarnessError where the checkpoint is no longer the one that the fingerprints of its cells name."""
        session = self.session
        if session.weights is None:
            return
        self.prepared.workshop.confirm_downloaded(session.checkpoint)
        if self.prepared.workshop.identity(session.checkpoint, session.recipe) != session.weights:
            raise HarnessError(
                f"checkpoint {session.checkpoint} has changed since the sweep was planned; run the command again"
            )

    @contextmanager
    def serving(self, checkpoint: Checkpoint) -> Iterator[Server]:
        """The server, on other CPU cores than the load client where the session has enough of them."""
        cores = self.run.place.cores if self.run.place else ()
        load = self.session.scenarios and cores
        client, engine = apart(cores, self.prepared.config.load.workers) if load else (cores, cores)
        with ExitStack() as stack:
            with bound(engine):
                server = stack.enter_context(self.serve(checkpoint))
            stack.enter_context(bound(client))
            yield server

    def serve(self, checkpoint: Checkpoint) -> AbstractContextManager[Server]:
        session = self.session
        if session.served is None:
            return nullcontext(judge_server(judge_of(self.prepared.config)))
        return self.prepared.engine.serve(session.deployment(checkpoint.location, checkpoint.revision), self.log_file)

    def _warm_up(self, server: Server) -> None:
        """The first load cell must not pay for lazy initialisation."""
        loads = (cell for cell in self.run.pending(self.session) if cell.scenario)
        first = next((cell for cell in loads if not self.run.budget.refusal(cell)), None)
        if first is None:
            return
        from harness.loadgen.bench import Bench
        from harness.loadgen.measure import warm_up
        from harness.loadgen.traffic.requests import Traffic

        config = self.prepared.config
        name = first.scenario_name
        try:
            warm_up(Bench(server, self.run.tokenizer, Traffic(name, config.scenarios[name], config.load, config.seed)))
        except DiskFull:
            raise
        except Exception as error:  # it is no measurement: the cells themselves say what is wrong
            why = str(error) if isinstance(error, HarnessError) else f"{type(error).__name__}: {error}"
            log.warning("%s: warm-up failed, its cells are measured all the same: %s", self.session.name, why)
