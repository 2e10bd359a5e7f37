"""The client's parent: one schedule, sharded over worker processes, and their traces brought together.

`run_schedule` is the seam: requests in, traces out.
"""

import contextlib
import gc
import json
import os
import pickle
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from harness.engines import Server
from harness.errors import CellError
from harness.loadgen.client.http import Target
from harness.loadgen.client.loop import Job
from harness.loadgen.client.requests import PATH
from harness.loadgen.client.sockets import stamping
from harness.loadgen.client.spool import Planned, RequestFile, Shard, Traces
from harness.loadgen.client.trace import ClientFacts, Recording, Request, WorkerFacts
from harness.machine import disk
from harness.machine.interrupts import held
from harness.machine.pipes import piped
from harness.machine.scratch import scratch

LEAD_S = 0.05  # from the word that everyone is ready to the cell's time zero
START_TIMEOUT_S = 120.0  # of a worker: imports, opening its connections
GRACE_S = 5.0  # over the cell's own time-out, and for a worker to end when it is told to
PROBE_S = 5.0


@contextlib.contextmanager
def run_schedule(
    server: Server,
    requests: Iterable[Request],
    *,
    concurrency: int | None,
    request_timeout_s: float,
    cell_timeout_s: float,
    workers: int = 1,
    path: str = PATH,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Iterator[Recording]:
    """Send every request at its intended time; one trace a request, in the order given, while the context lasts.

    concurrency: None is an open loop (nothing waits for an earlier request); n is a closed loop with at most n
    conversations in flight. After `cell_timeout_s` what is open is cancelled and what was not sent stays so. No
    failure of a request raises: it is in its trace. CellError when a worker process dies, DiskFull when the requests
    or the answers do not fit into the temporary folder.

    The requests are the same for any number of workers: conversations are dealt out in turn, and all workers share
    one clock.
    """
    with scratch("load") as folder, stamping():
        with disk.naming(folder):
            file = RequestFile(folder)
            planned = file.write(requests)
            shards = deal(planned, concurrency, workers)
            for number, shard in enumerate(shards):
                (folder / f"shard-{number}").write_bytes(pickle.dumps(shard))
        job = _job(server, path, request_timeout_s, cell_timeout_s)
        with _Crew(folder, len(shards)) as crew:
            crew.say(json.dumps(asdict(job)))
            crew.wait_for("loaded", START_TIMEOUT_S)
            crew.say("open")
            crew.wait_for("ready", START_TIMEOUT_S)
            start_ns = time.monotonic_ns() + int(LEAD_S * 1e9)
            crew.say(str(start_ns))
            ended = crew.wait_for("done", cell_timeout_s + GRACE_S, lambda done: progress(done, len(planned)))
        traces = Traces(planned, [folder / f"traces-{number}" for number in range(len(shards))])
        with _no_collections():
            yield Recording(traces, file.asked, _client_facts([told.facts for told in ended if told.facts]), start_ns)


@contextlib.contextmanager
def _no_collections() -> Iterator[None]:
    """Reading traces makes many objects and no cycles: collections would go through all that is imported, in vain."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def deal(planned: list[Planned], concurrency: int | None, workers: int) -> list[Shard]:
    """Conversations in turn to each worker, and its part of the concurrency."""
    conversations: list[list[Planned]] = []
    for one in planned:
        if one.turn:
            conversations[-1].append(one)
        else:
            conversations.append([one])
    count = max(1, min(workers, len(conversations), concurrency or workers))
    flights = [None if concurrency is None else concurrency // count + (n < concurrency % count) for n in range(count)]
    return [Shard(conversations[number::count], flight) for number, flight in enumerate(flights)]


def _job(server: Server, path: str, request_timeout_s: float, cell_timeout_s: float) -> Job:
    target = Target.of(server.base_url, path)
    return Job(target, _address(target), server.headers, request_timeout_s, cell_timeout_s)


def _address(target: Target) -> tuple:
    """The first address of the host that answers, or the first there is: then every request says why not."""
    try:
        found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise CellError(f"{target.host}: {error.strerror or error}; is the address right?") from None
    for family, kind, proto, _, where in found if len(found) > 1 else ():
        with socket.socket(family, kind, proto) as probe, contextlib.suppress(OSError):
            probe.settimeout(PROBE_S)
            probe.connect(where)
            return family, kind, proto, "", where
    return found[0]


def _client_facts(workers: list[WorkerFacts]) -> ClientFacts:
    return ClientFacts(
        workers=len(workers),
        cpu_s=sum(facts.cpu_s for facts in workers),
        cpu_share_max=max(facts.cpu_s / max(facts.wall_s, 1e-9) for facts in workers),
        loop_lag_s=[lag for facts in workers for lag in facts.loop_lag_s],
        connections_opened=sum(facts.connections for facts in workers),
        reads=sum(facts.reads for facts in workers),
        unasked_reads=sum(facts.unasked for facts in workers),
        clock_steps=max(facts.clock_steps for facts in workers),
        clock_step_s_max=max(facts.clock_step_s_max for facts in workers),
    )


@dataclass(frozen=True)
class Told:
    """A line that a worker wrote (worker.py)."""

    event: str
    done: int | None = None  # requests that have ended
    facts: WorkerFacts | None = None
    why: str | None = None  # the disk is full

    @classmethod
    def read(cls, line: bytes) -> Self:
        told = json.loads(line)
        facts = told.pop("facts", None)
        return cls(**told, facts=WorkerFacts(**facts) if facts else None)


class _Crew:
    """The worker processes: none outlives the context, whatever ends it."""

    def __init__(self, folder: Path, count: int):
        self._folder, self._count = folder, count
        self._processes: list[subprocess.Popen] = []
        self._heard: list[bytes] = []  # of each worker, the line that has not ended
        self._selector = selectors.DefaultSelector()

    def __enter__(self) -> "_Crew":
        try:
            with held(), disk.naming(self._folder):
                for number in range(self._count):
                    self._start(number)
        except BaseException:
            self.__exit__()
            raise
        return self

    def _start(self, number: int) -> None:
        with (self._folder / f"errors-{number}").open("wb") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", "harness.loadgen.client.worker", str(self._folder), str(number)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,  # Ctrl-C is the parent's to handle
            )
        self._processes.append(process)
        self._heard.append(b"")
        self._selector.register(piped(process.stdout), selectors.EVENT_READ, number)

    def __exit__(self, *_exception: object) -> None:
        with held():
            self._stop()

    def _stop(self) -> None:
        self._selector.close()
        for process in self._processes:
            with contextlib.suppress(OSError):
                piped(process.stdin).close()  # a worker ends when its input does
        deadline = time.monotonic() + GRACE_S
        for process in self._processes:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            piped(process.stdout).close()

    def say(self, line: str) -> None:
        for number, process in enumerate(self._processes):
            try:
                stdin = piped(process.stdin)
                stdin.write(line.encode() + b"\n")
                stdin.flush()
            except OSError:
                self._died(number)

    def wait_for(self, event: str, timeout_s: float, progress: Callable[[int], None] = lambda done: None) -> list[Told]:
        """What each worker told with `event`. CellError when one dies or is silent for too long."""
        told: dict[int, Told] = {}
        done = [0] * self._count
        deadline = time.monotonic() + timeout_s
        while len(told) < self._count:
            if time.monotonic() > deadline:
                raise CellError(f"a load worker did not say {event!r} within {timeout_s:.0f} s")
            for key, _ in self._selector.select(0.5):
                for said in self._hear(key.fd, key.data):
                    if said.event == "full":
                        raise disk.full(self._folder, said.why)
                    if said.done is not None:
                        done[key.data] = said.done
                        progress(sum(done))
                    if said.event == event:
                        told[key.data] = said
                if event == "done" and key.data in told:
                    self._selector.unregister(key.fd)  # it ends now, and its pipe with it
        return [told[number] for number in range(self._count)]

    def _hear(self, descriptor: int, number: int) -> Iterator[Told]:
        data = os.read(descriptor, 1 << 16)
        if not data:
            self._died(number)
        *lines, self._heard[number] = (self._heard[number] + data).split(b"\n")
        yield from map(Told.read, lines)

    def _died(self, number: int) -> None:
        code = self._processes[number].wait()
        disk.check(self._folder)
        errors = (self._folder / f"errors-{number}").read_text(errors="replace").strip().splitlines()
        if errors:
            reason = errors[-1]
        elif code == -signal.SIGKILL:
            reason = "it was killed; where nobody did, the kernel did for want of memory (see dmesg)"
        else:
            reason = "it printed nothing; run the same command again"
        raise CellError(f"load worker {number} ended with exit code {code}: {reason}")
