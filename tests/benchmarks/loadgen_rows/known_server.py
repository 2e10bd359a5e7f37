"""The server of every run: token k of a request is due at arrival + TTFT + k x gap, and what was sent when is known."""

import json
import os
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.engines.process import ServerProcess, free_port

MODEL = "bench"
READY_S, GRACE_S = 30.0, 5.0


@dataclass(frozen=True)
class Known:
    base_url: str
    log: Path
    ttft_ms: float


@dataclass(frozen=True)
class Truth:
    """What the server did: of each finished request the moments just before each token's write, CLOCK_MONOTONIC."""

    sent_ns: dict[str, np.ndarray]
    arrived_s: np.ndarray  # when each request had been read, ascending
    late_s: np.ndarray  # of each token: sent - due. Beyond the client's doing, and not in its errors

    @property
    def tokens(self) -> int:
        return sum(map(len, self.sent_ns.values()))

    @property
    def tok_per_s(self) -> float:
        """All tokens over the time from the first to the last."""
        ends = [(sent[0], sent[-1]) for sent in self.sent_ns.values()]
        span_ns = max(last for _, last in ends) - min(first for first, _ in ends)
        return self.tokens / float(span_ns / 1e9)


@contextmanager
def known_server(folder: Path, gap_ms: float, ttft_ms: float, cores: set[int] | None = None) -> Iterator[Known]:
    """Its log is complete when the context has ended: `truth` reads it then."""
    port, log = free_port(), folder / "sent.jsonl"
    known = Known(f"http://127.0.0.1:{port}", log, ttft_ms)
    command = [sys.executable, "-m", "harness.engines.simulated.server", "--port", str(port), "--model", MODEL]
    command += ["--gap-ms", str(gap_ms), "--ttft-ms", str(ttft_ms), "--sent-log", str(log)]
    here = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores or here)  # children inherit it
    try:
        process = ServerProcess(command, {}, folder / "server.log", grace_s=GRACE_S)
    finally:
        os.sched_setaffinity(0, here)
    try:
        process.wait_ready(lambda: _answers(known.base_url), READY_S, "the benchmark's server")
        yield known
    finally:
        process.stop()


def truth(known: Known) -> Truth:
    sent_ns, arrived_ns, late_ns = {}, [], []
    with known.log.open() as file:
        for line in file:
            request = json.loads(line)
            sent, due = np.array(request["sent_ns"]), np.array(request["due_ns"])
            sent_ns[request["request_id"]] = sent
            arrived_ns.append(due[0] - known.ttft_ms * 1e6)
            late_ns.append(sent - due)
    late = np.concatenate(late_ns) if late_ns else np.array([])
    return Truth(sent_ns, np.sort(arrived_ns) / 1e9, late / 1e9)


def _answers(base_url: str) -> bool:
    try:
        urllib.request.urlopen(base_url + "/health", timeout=1).close()
    except OSError:
        return False
    return True
