"""A session's samples: the worker process while its engine is up, and what of them belongs to a cell."""

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from harness.machine import nvml as access
from harness.machine.devices import Device, visible
from harness.machine.gpu_readings import GpuFacts, GpuProcess, Sample
from harness.machine.interrupts import held
from harness.machine.pipes import piped
from harness.machine.scratch import scratch
from harness.records import Window
from harness.records.flag import Flag
from harness.records.result import Result
from harness.records.telemetry import ForeignProcess, Telemetry
from harness.telemetry.flags import flags
from harness.telemetry.processes import strangers
from harness.telemetry.reasons import names
from harness.telemetry.summary import per_token, summarize
from harness.telemetry.worker import LOOK_EVERY

INTERVAL_S = 0.25
START_S, LAST_S = 10.0, 2.0  # how long to wait for the worker's first word, and for the sample after a cell's end
GRACE_S = 2.0
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Seen:
    """What was seen during one cell. `telemetry` None: there is no data.

    `rows`: the samples, `t_s` in seconds since the time zero of the cell's other rows.
    """

    telemetry: Telemetry | None = None
    rows: list[dict[str, Any]] = field(default_factory=list)
    flags: list[Flag] = field(default_factory=list)


@contextmanager
def sampling(devices: tuple[Device, ...], interval_s: float = INTERVAL_S) -> Iterator["Sampler"]:
    """Samples of the devices while the context lasts; start it when the engine is ready. No devices, no process."""
    if not devices:
        yield Sampler(None, interval_s)
        return
    with scratch("telemetry") as folder:
        job = {"devices": [asdict(device) for device in devices], "interval_s": interval_s, "harness_pid": os.getpid()}
        output, errors = folder / "samples", folder / "errors"
        with output.open("wb") as into, errors.open("wb") as wrong:
            process = subprocess.Popen(
                [sys.executable, "-m", "harness.telemetry.worker", json.dumps(job)],
                stdin=subprocess.PIPE,
                stdout=into,
                stderr=wrong,
                start_new_session=True,  # Ctrl-C is the parent's to handle
            )
        try:
            with output.open("r") as lines:
                yield Sampler(_Worker(process, lines, errors), interval_s)
        finally:
            with held():
                piped(process.stdin).close()  # the worker ends when its input does
                try:
                    process.wait(GRACE_S)
                except subprocess.TimeoutExpired:  # it hangs in the driver
                    process.kill()


def used_devices(environment: Mapping[str, str], count: int) -> tuple[Device, ...]:
    """The first `count` of the GPUs that CUDA sees: what a server on so many takes. Empty without NVML."""
    try:
        with access.opened() as nvml:
            return visible(access.gpus(nvml), environment).devices[:count]
    except access.NvmlAbsent:
        return ()


class _Line(Sample, total=False):
    """What the worker writes: a sample, or once and alone the facts of every device."""

    facts: list[GpuFacts]


@dataclass
class _Worker:
    process: subprocess.Popen
    lines: IO[str]
    errors: Path
    _rest: str = ""

    def read(self) -> list[_Line]:
        """The whole lines written since the last call."""
        *whole, self._rest = (self._rest + self.lines.read()).split("\n")
        return [json.loads(line) for line in whole]

    def death(self) -> str | None:
        """Its last words, once it has ended."""
        if self.process.poll() is None:
            return None
        return (self.errors.read_text(errors="replace").strip().splitlines() or ["no word"])[-1]


class Sampler:
    def __init__(self, worker: _Worker | None, interval_s: float):
        self._worker, self._interval_s = worker, interval_s
        self._facts: list[GpuFacts] = []
        self._at_start: list[GpuProcess] = []
        self._samples: list[Sample] = []  # of this cell, and the last ones before it
        if worker is not None:
            self._wait(lambda: all(self._last(n) for n in range(len(self._facts))) and bool(self._facts), START_S)
            self._at_start = [p for sample in self._samples for p in sample.get("processes", ())]

    def of_cell(self, times: bool, window: Window, result: Result) -> Seen:
        """Return what was seen in the window, which has just passed, once there are samples after it.

        `times`: the result is a speed.
        """
        start_s, end_s = window.zero_s + window.start_s, window.zero_s + window.end_s
        look_s = LOOK_EVERY * self._interval_s
        self._wait(lambda: all(self._last(n) >= end_s for n in range(len(self._facts))), LAST_S)
        samples = [sample for sample in self._samples if sample["t"] > start_s - look_s]
        self._samples = [sample for sample in self._samples if sample["t"] > end_s - look_s]  # the next cell's first
        telemetry = summarize(samples, self._facts, window, self._interval_s)
        if telemetry is None:
            return Seen()
        if times:
            telemetry = per_token(telemetry, result)
        inside = [sample for sample in samples if start_s <= sample["t"] <= end_s]
        foreign = strangers(self._at_start, [p for sample in samples for p in sample.get("processes", ())])
        others = tuple(ForeignProcess(p["pid"], p["name"], p["bytes"]) for p in foreign)
        telemetry = replace(telemetry, foreign_processes=others)
        return Seen(telemetry, [_row(sample, window.zero_s) for sample in inside], flags(telemetry, times))

    def _wait(self, enough: Callable[[], bool], timeout_s: float) -> None:
        if self._worker is None:
            return
        deadline = time.monotonic() + timeout_s
        while True:
            death = self._worker.death()  # before reading: what it wrote last is not lost
            for line in self._worker.read():
                if "facts" in line:
                    self._facts = line["facts"]
                else:
                    self._samples.append(line)
            if enough():
                return
            if death is not None or time.monotonic() > deadline:
                why = f"the sampler ended: {death}" if death is not None else "no sample: NVML does not answer in time"
                log.warning("no GPU telemetry from here on, or not all of it: %s", why)
                self._worker = None if death is not None else self._worker
                return
            time.sleep(0.02)

    def _last(self, device: int) -> float:
        """Time of a device's newest sample; 0: none."""
        return next((sample["t"] for sample in reversed(self._samples) if sample["device"] == device), 0.0)


def _row(sample: Sample, zero_s: float) -> dict[str, Any]:
    told = {key: value for key, value in sample.items() if key not in ("t", "reasons", "processes")}
    reasons = sample["reasons"]
    return {"t_s": round(sample["t"] - zero_s, 4), **told, "reasons": None if reasons is None else list(names(reasons))}
