"""A session of an interference test: the one that is measured, or a neighbour that keeps its engine busy.

Both start the engine as a session of the sweep would, in a process with separate GPUs or CPU cores.
"""

import os
import pickle
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from harness.analysis.interference import ALONE, METRICS, Reading, beside
from harness.config.schema import Config
from harness.config.workloads import Scenario
from harness.engines import Server
from harness.errors import DiskFull, HarnessError
from harness.executors import Emit, Place
from harness.executors.cores import bound
from harness.machine import disk, scratch
from harness.records.interference import ACCURACY, LOAD
from harness.records.point import LoadPoint
from harness.redaction.known_secrets import learn_config
from harness.sweeps.distributed.session_events import Refused, SessionWork
from harness.sweeps.distributed.session_worker import start_log
from harness.sweeps.distributed.streamed import StreamedProgress, StreamedResults
from harness.sweeps.estimates.durations import Durations
from harness.sweeps.estimates.estimate import Estimates
from harness.sweeps.interference.turns import END, IDLE, POLL_S, Turns
from harness.sweeps.measuring.served_session import ServedSession
from harness.sweeps.plan import build_plan
from harness.sweeps.prepare import prepare
from harness.sweeps.run import Run
from harness.sweeps.session_lock import counted

NAME = "interference"
SCENARIO = Scenario(prompt_tokens=256, output_tokens=64)  # of the measured session and of load neighbours
SUITE = Scenario(prompt_tokens=256, output_tokens=1)  # of accuracy neighbours: requests as of multiple choice
CONCURRENCY = 4  # requests in flight
MOST_REQUESTS = 4000
LEAST_ROUNDS = 3  # before the test ends early: neighbours disturb, or the machine is slow
MOST_S = 300.0  # after which no further round begins


@dataclass(frozen=True)
class Role:
    """What one of the sessions does. `number`: of a neighbour; None: it is measured."""

    config: Config
    session: str  # of the plan
    folder: str  # where they take turns
    root: str  # of the store, for logs
    neighbours: int
    rounds: int
    turn_s: float
    number: int | None


def measure(description: bytes, place: Place, emit: Emit) -> None:
    """Take a pickled Role. Emits the Readings of the measured session, and Refused for what ends the test."""
    role: Role = pickle.loads(description)
    learn_config(asdict(role.config))
    start_log(role.config.log_level)
    folders = [Path(role.root), Path(role.config.cache_dir).expanduser().absolute(), scratch.root()]
    try:
        with disk.among(*folders), counted(Path(role.root)):
            served = _session(role, place, emit)
            with bound(place.cores):
                checkpoint = served.prepare()
                with served.serving(checkpoint) as server:
                    _take_part(role, _Load(served.run, server, role.number), emit)
    except DiskFull as error:
        emit(Refused(str(error), full=True))
    except HarnessError as error:
        emit(Refused(str(error)))


def _session(role: Role, place: Place, emit: Emit) -> ServedSession:
    progress = StreamedProgress(emit)
    prepared = prepare(role.config, progress.say)
    plan = build_plan(prepared)  # with all GPUs and cores in sight
    os.environ.update(place.variables)
    nothing = SessionWork(role.config, role.session, NAME, role.root, (), (), {}, {}, {})
    run = Run(prepared, plan, StreamedResults(nothing, emit), progress, Estimates((), Durations()), place=place)
    planned = next(session for session in plan.sessions if session.name == role.session)
    return ServedSession(run, replace(planned, name=f"{NAME} {'' if role.number is None else role.number + 1}".strip()))


class _Load:
    """Load on one engine, with prompts that no other session sends."""

    def __init__(self, run: Run, server: Server, number: int | None):
        self._run, self._server, self._repeat = run, server, 0
        self._seed = run.prepared.config.seed + (0 if number is None else number + 1)

    def requests(self, scenario: Scenario, seconds: float) -> int:
        """Return how many requests take so long, by a short measurement."""
        began = time.monotonic()
        self.send(scenario, 2 * CONCURRENCY)
        rate_rps = 2 * CONCURRENCY / (time.monotonic() - began)
        flights = max(2, min(round(seconds * rate_rps / CONCURRENCY), MOST_REQUESTS // CONCURRENCY))
        return flights * CONCURRENCY

    def send(self, scenario: Scenario, requests: int) -> dict[str, float]:
        """Send so many requests, CONCURRENCY at a time, and return the figures of METRICS; 0 for one that is absent."""
        from harness.loadgen.bench import Bench
        from harness.loadgen.traffic.requests import Traffic

        prepared, self._repeat = self._run.prepared, self._repeat + 1
        prepared.engine.reset_prefix_cache(self._server)
        traffic = Traffic(NAME, scenario, prepared.config.load, self._seed)
        point = LoadPoint("concurrency", None, requests, repeat=self._repeat, concurrency=CONCURRENCY)
        result = Bench(self._server, self._run.tokenizer, traffic).run(point).result.to_json()
        return {metric: float(result.get(metric) or 0.0) for metric in METRICS}


def _take_part(role: Role, load: _Load, emit: Emit) -> None:
    turns = Turns(Path(role.folder), role.neighbours)
    if role.number is not None:
        _keep_busy(turns, role, load)
        return
    try:
        turns.say(IDLE)  # every engine is up
        load.send(SCENARIO, CONCURRENCY)  # warm-up
        requests = load.requests(SCENARIO, role.turn_s)
        readings, began = list[Reading](), time.monotonic()
        for number, state in _order(role.rounds):
            turns.say(IDLE if state == ALONE else state)
            readings.append(Reading(number, state, load.send(SCENARIO, requests)))
            emit(readings[-1])
            whole = len(readings) % 3 == 0 and len(readings) >= 3 * LEAST_ROUNDS
            if whole and (time.monotonic() - began > MOST_S or all(one.harmful for one in beside(readings))):
                return
    finally:
        turns.say(END)


def _order(rounds: int) -> Iterator[tuple[int, str]]:
    """Yield (round, state): forwards and backwards in turn, so that an even drift is on all states alike."""
    states = (ALONE, LOAD, ACCURACY)
    for number in range(rounds):
        for state in states if number % 2 == 0 else states[::-1]:
            yield number, state


def _keep_busy(turns: Turns, role: Role, load: _Load) -> None:
    """Do what the measured session asks for, until it has ended."""
    scenarios = {LOAD: SCENARIO, ACCURACY: SUITE}
    load.send(SCENARIO, CONCURRENCY)  # warm-up
    requests = {kind: load.requests(scenario, role.turn_s) for kind, scenario in scenarios.items()}
    while (state := turns.asked()) != END:
        turns.note(role.number or 0, state)
        if state == IDLE:
            time.sleep(POLL_S)
        else:
            load.send(scenarios[state], requests[state])
