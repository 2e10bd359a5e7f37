"""What phases took on this machine, learned from: `cache_dir/durations.jsonl`, and the cells of the sweep's store.

The file is beside the environments and checkpoints whose making it tells of. Records of stores would do for cells
alone, and a study in a new folder would start from nothing. A line is a phase (records/phase.py) without key, session
and reference of the model; it is appended in one write, a line that cannot be read is left out, and of a file above
LARGEST_BYTES only the last lines are kept. A cache that cannot be written only makes estimates worse.
"""

import contextlib
from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import NamedTuple

from harness.machine.disk import write_atomically
from harness.records.phase import RULES, Phase, PhaseTime, append_phase, read_phases

FILE = "durations.jsonl"
LARGEST_BYTES, KEPT_LINES = 2 << 20, 2000
RECENT = 5  # durations of one kind that count
# Phases that are alike in these fields are expected to take alike, in proportion to their rules of thumb. The first
# that has been measured decides; where the variant was not, its pace in other phases of the group does too.
ALIKE = (
    ("kind", "group", "subject", "variant", "engine", "model"),
    ("kind", "group", "subject", "engine", "model"),
    ("kind", "group", "engine", "model"),
    ("kind", "group", "engine"),
)
FASTEST, SLOWEST = 0.05, 20.0  # a ratio to the rule of thumb beyond these is no measurement of this work
SHORTEST_RULE_S = 0.05


class Learned(NamedTuple):
    """Seconds of a phase over its rule of thumb; `level`: index in ALIKE."""

    ratio: float
    level: int


class Durations:
    """Ratios of measured seconds to rules of thumb, by what phases have in common."""

    def __init__(self, taken: Iterable[PhaseTime] = ()):
        self._ratios: dict[tuple[str, ...], deque[float]] = defaultdict(lambda: deque(maxlen=RECENT))
        self._of_variant: dict[tuple[str, ...], deque[float]] = defaultdict(lambda: deque(maxlen=RECENT))
        for one in taken:
            self.add(one, one.seconds)

    def add(self, phase: Phase, seconds: float) -> None:
        if phase.rule_s < SHORTEST_RULE_S or seconds <= 0:
            return
        ratio = min(max(seconds / phase.rule_s, FASTEST), SLOWEST)
        if usual := self._ratios.get(_key(phase, 1)):  # of other variants too
            self._of_variant[_variant_key(phase)].append(ratio / median(usual))
        for level in range(len(ALIKE)):
            self._ratios[_key(phase, level)].append(ratio)

    def learned(self, phase: Phase) -> Learned | None:
        """Return None where nothing like it has been measured."""
        for level in range(len(ALIKE)):
            if found := self._ratios.get(_key(phase, level)):
                relative = self._of_variant.get(_variant_key(phase)) if level > 0 else None
                return Learned(median(found) * (median(relative) if relative else 1.0), level)
        return None


def _key(phase: Phase, level: int) -> tuple[str, ...]:
    return (str(level), *(getattr(phase, name) for name in ALIKE[level]))


def _variant_key(phase: Phase) -> tuple[str, ...]:
    return phase.kind, phase.group, phase.engine, phase.model, phase.variant


def read(cache_dir: Path, machine: str) -> list[PhaseTime]:
    """Return what this machine took, the oldest first."""
    return [one for one in read_phases(cache_dir / FILE) if one.machine == machine and one.rules == RULES]


def note(cache_dir: Path, taken: PhaseTime) -> None:
    """Append a finished phase."""
    path = cache_dir / FILE
    append_phase(path, replace(taken, key="", session=""))
    with contextlib.suppress(OSError):
        if path.stat().st_size > LARGEST_BYTES:
            kept = path.read_text(errors="replace").splitlines()[-KEPT_LINES:]
            write_atomically(path, "\n".join(kept) + "\n")
