"""Prepare a sweep: resolve everything that its plan needs, once.

Engine, suites, digests of data and corpora, checkpoint identities, hub revisions, facts of the machine, load points.
This is the only step before the run that touches disk, network or NVML; the plan is a pure function of its result.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.accuracy import JudgedSuite, Suite, suite_class
from harness.checkpoints import gguf, source
from harness.checkpoints.prepare import Workshop, tokenizer_identity
from harness.checkpoints.sources import Hub
from harness.config.judge import judge_of
from harness.config.schema import Config
from harness.engines import Engine, engine_class
from harness.engines.limits import Limits
from harness.errors import ConfigError
from harness.executors import Executor, executor_class
from harness.gemm.cells import products_left_out
from harness.hub.commits import DATASET, MODEL, commit_of
from harness.loadgen.profiles import load_points
from harness.records.fields import Facts
from harness.records.manifest import LeftOut
from harness.records.point import LoadPoint
from harness.sweeps.preflight.unsupported import leave_out
from harness.sweeps.session import VARIANT, Session
from harness.sweeps.sessions import Sessions, baseline_first
from harness.text import hub_text
from harness.text.corpora import corpus_digest, is_on_hub


@dataclass(frozen=True)
class Prepared:
    """What a sweep is planned and run with."""

    asked: Config = field(repr=False)  # what was resolved
    config: Config  # without what this machine does not support
    engine: Engine
    suites: dict[str, Suite]
    workshop: Workshop  # where checkpoints are made
    executor: Executor
    sessions: tuple[Session, ...] = field(repr=False)  # in the order in which they run, without their cells
    points: dict[str, tuple[LoadPoint, ...]]  # of each scenario
    corpora: dict[str, str]  # scenario -> digest of its text
    suite_identities: dict[str, dict[str, Any]]  # suite -> its settings, data and libraries
    judged: dict[str, JudgedSuite]  # those of the suites that only gather answers
    judging: dict[str, dict[str, Any]]  # judged suite -> what decides a verdict beside the judge and the answers
    tokenizer: Facts  # identity of the dense model's, which cuts every prompt
    revisions: dict[str, str | None]  # model or text on the hub -> its commit; None where it could not be resolved
    left_out: tuple[LeftOut, ...]

    @property
    def order(self) -> list[str]:
        """The variants, the baseline first."""
        return baseline_first(self.config)

    @property
    def concurrency(self) -> int:
        """Accuracy requests in flight: the sweep's, and no more than the owner of the server allows."""
        return allowed_concurrency(self.config.concurrency, self.engine.limits)


def allowed_concurrency(wanted: int, limits: Limits) -> int:
    return min(wanted, limits.max_concurrency or wanted)


def store_folder(config: Config) -> Path:
    return Path(config.results_dir).expanduser().resolve() / config.name


def executor_of(asked: Config, engine: Engine | None = None) -> Executor:
    """Return a sweep's executor, with its engine; `engine`: in place of the configured one."""
    engine = engine or engine_class(asked.engine.kind)(asked.engine, Path(asked.cache_dir).expanduser().resolve())
    return executor_class(asked.executor.kind)(asked.executor, engine)


def prepare(
    asked: Config,
    say: Callable[[str], None] = lambda line: None,
    engine: Engine | None = None,
    executor: Executor | None = None,
) -> Prepared:
    """Resolve a sweep. `say` is told before every step that takes long; `engine`, `executor`: the configured ones else.

    Raises ConfigError for what cannot be planned; what could not be had is a problem of preflight.
    """
    cache_dir = Path(asked.cache_dir).expanduser().resolve()
    executor = executor or executor_of(asked, engine)
    engine = executor.engine
    config, left_out = leave_out(asked, engine)
    left_out += products_left_out(config, engine)
    suites = {name: suite_class(suite.kind)(name, suite) for name, suite in config.suites.items()}
    judged = {name: suite for name, suite in suites.items() if isinstance(suite, JudgedSuite) and config.judge}
    workshop = Workshop(config.compression, cache_dir, store_folder(config) / "logs" / "setup.log", say)
    if engine.weights == gguf.FORM:
        workshop = gguf.GgufWorkshop(workshop, lambda: engine.tool(gguf.TOOL), engine.tools())
    cores = executor.session_cores
    sessions = tuple(Sessions(config, engine, tuple(suites), tuple(judged), workshop, left_out, cores))
    serves = any(session.kind == VARIANT for session in sessions)
    checkpoints = [config.model] if serves else []
    checkpoints += [session.checkpoint for session in sessions if session.checkpoint and engine.loads_weights]
    return Prepared(
        asked=asked,
        config=config,
        engine=engine,
        suites=suites,
        workshop=workshop,
        executor=executor,
        sessions=sessions,
        points=points_of(config),
        corpora={name: corpus_digest(scenario.text) for name, scenario in config.scenarios.items()},
        suite_identities={name: suite.fingerprint(config.data.root) for name, suite in suites.items()},
        judged=judged,
        judging={name: suite.judge_fingerprint(judge_of(config)) for name, suite in judged.items()},
        tokenizer=tokenizer_identity(config.model, workshop.digests) if serves else {},
        revisions=_revisions(checkpoints, [scenario.text for scenario in config.scenarios.values()]),
        left_out=tuple(left_out),
    )


def shared_folders(asked: Config) -> dict[str, Path]:
    """Return the folders that the machines of an executor may have to share, by the setting that names them."""
    return {name: Path(getattr(asked, name)).expanduser().resolve() for name in ("results_dir", "cache_dir")}


def points_of(config: Config) -> dict[str, tuple[LoadPoint, ...]]:
    """Return the load points of each scenario. Raises ConfigError with the setting that is wrong."""
    found = {}
    for name, scenario in config.scenarios.items():
        try:
            found[name] = tuple(load_points(config.load, scenario))
        except ConfigError as error:
            where = "" if str(error).startswith("load") else f"scenarios.{name}: "
            raise ConfigError(f"{where}{error}") from None
    return found


def _revisions(checkpoints: Iterable[str], texts: Iterable[str]) -> dict[str, str | None]:
    """Return the commit of each that is on the hub."""
    found: dict[str, str | None] = {}
    for reference in checkpoints:
        if isinstance(origin := source(reference), Hub):
            found[reference] = commit_of(MODEL, origin.repository, origin.revision)
    for text in filter(is_on_hub, texts):
        asked = hub_text.parse(text)
        found[text] = commit_of(DATASET, asked.dataset, asked.revision)
    return found
