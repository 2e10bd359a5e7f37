"""The phases of a run: what it spends time on, and how long each took.

A finished phase is a line of `logs/phases.jsonl` in the sweep's store (the report's Time table), and one, without its
key and session, of `durations.jsonl` in the cache (harness/sweeps/estimates/durations.py).
"""

import contextlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.records.fields import Stored, later
from harness.records.shapes import mismatch
from harness.records.stored_shape import shape_of
from harness.redaction.masked_data import mask_data

ENVIRONMENT, CHECKPOINT, START, WARM_UP, REPORT = "environment", "checkpoint", "engine start", "warm-up", "report"
RULES = 1  # version of the rules of thumb: raise it when one changes, so that older durations are not scaled by it


@dataclass(frozen=True, kw_only=True)
class Phase(Stored):
    """One phase. What is alike in all fields but `key`, `session` and `rule_s` is expected to take equally long."""

    kind: str  # one of the above, or the kind of a cell
    group: str = later("")  # load profile, compression method: phases that a machine is as fast or slow at
    subject: str = later("")  # suite, scenario and load point, environment
    variant: str = later("")
    engine: str = later("")  # kind, version and device
    model: str = later("")  # digest of its reference
    machine: str = later("")  # digest of CPU, cores and GPUs
    key: str = later("")  # of the cell; names the phase within its run
    session: str = later("")  # whose phase it is; empty: the run's
    rule_s: float  # seconds by the rules of thumb


@dataclass(frozen=True, kw_only=True)
class PhaseTime(Phase):
    """A finished phase."""

    seconds: float
    estimated_s: float  # before it began
    ended_at: str  # ISO 8601, UTC
    rules: int = RULES


LINE = shape_of(PhaseTime)


def append_phase(path: Path, taken: PhaseTime) -> None:
    """Append a finished phase in one write. It is no result: a file that cannot be written stops nothing."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(descriptor, phase_line(taken).encode())
        finally:
            os.close(descriptor)


def read_phases(path: Path) -> list[PhaseTime]:
    """Return the phases in the order in which they ended, as far as they can be read."""
    try:
        return list(phase_lines(path.read_text(errors="replace").splitlines()))
    except OSError:
        return []


def phase_line(taken: PhaseTime) -> str:
    return json.dumps(mask_data(taken.to_json())) + "\n"


def phase_lines(lines: Iterable[str]) -> Iterator[PhaseTime]:
    """Yield what can be read; a line that was cut off or changed is left out."""
    for line in lines:
        try:
            stored = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(stored, dict) and mismatch(stored, LINE) is None:
            yield PhaseTime.from_json(stored)
