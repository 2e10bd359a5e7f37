"""Do 95 % intervals hold the truth in 95 of 100 studies? Simulated studies of known recovery, through `compare` itself.

A study draws n items from the four outcomes (both right, lost, gained, both wrong) whose probabilities follow from the
baseline's score, the recovery and the share of items that flip. 1,000 studies place a coverage within 1.4 points.
With fewer than ten flips expected the data are too coarse for 95 %: any interval that holds the truth often enough
holds it more often. These rows are shown, and not judged.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import product

import numpy as np
from table import Row

from harness.analysis.quality.paired import Paired, compare

ITEMS = (164, 500, 1319, 14042)
SCORES = (0.3, 0.5, 0.66, 0.85)
RECOVERIES = (0.9, 0.95, 1.0, 1.05, 1.1)
FLIPS = (0.03, 0.06, 0.12, 0.2)
LOW, HIGH, SIGMAS = 0.93, 0.97, 2
FEW = 10  # flips expected
BOOTSTRAP_S = 2.0


@dataclass(frozen=True)
class World:
    items: int
    score: float
    recovery: float
    flips: float

    @property
    def outcomes(self) -> list[float]:
        """Probabilities of both right, lost, gained, both wrong; none below zero in a possible world."""
        net = self.score * (1 - self.recovery)
        lost, gained = (self.flips + net) / 2, (self.flips - net) / 2
        return [self.score - lost, lost, gained, 1 - self.score - gained]

    @property
    def possible(self) -> bool:
        return min(self.outcomes) >= 0


def covered(world: World, studies: int) -> tuple[float, float]:
    """Shares of studies whose interval of the recovery, and of the difference, holds the truth."""
    rng = np.random.default_rng([world.items, *(int(1000 * x) for x in (world.score, world.recovery, world.flips))])
    difference = world.score * (world.recovery - 1)
    hits = np.zeros(2)
    for study in range(studies):
        counts = rng.multinomial(world.items, world.outcomes)
        paired = Paired(np.repeat([1.0, 1, 0, 0], counts), np.repeat([1.0, 0, 1, 0], counts), (None,) * world.items)
        found = compare(paired, 0.01, [study], resamples=2000)
        hits += [
            found.recovery is not None and _holds(found.recovery, world.recovery),
            _holds(found.difference, difference),
        ]
    return tuple(hits / studies)


def _holds(estimate, truth: float) -> bool:
    low, high = estimate.low, estimate.high
    return (low is None or low <= truth + 1e-12) and (high is None or truth - 1e-12 <= high)


def coverage(studies: int, say: Callable[[str], None]) -> Iterator[Row]:
    worlds = [world for world in (World(*one) for one in product(ITEMS, SCORES, RECOVERIES, FLIPS)) if world.possible]
    with ProcessPoolExecutor() as pool:
        found = dict(zip(worlds, pool.map(covered, worlds, [studies] * len(worlds)), strict=True))
    slack = SIGMAS * np.sqrt(0.95 * 0.05 / studies)
    for items, few in product(ITEMS, (False, True)):
        shown = {w: c for w, c in found.items() if w.items == items and (w.items * w.flips < FEW) == few}
        if not shown:
            continue
        for position, what in enumerate(("recovery", "difference")):
            shares = [100 * both[position] for both in shown.values()]
            inside = [LOW - slack <= share / 100 <= HIGH + slack for share in shares]
            odd = [
                f"{w} {100 * c[position]:.1f} %" for (w, c), good in zip(shown.items(), inside, strict=True) if not good
            ]
            title = f"coverage, {what}, n = {items:,}, {len(shown)} worlds" + (f", under {FEW} flips" if few else "")
            note = "; ".join(odd) if odd and not few else ""
            yield Row(title, "%", "" if few else "93 to 97", {"ours": shares}, None if few else all(inside), note)
        say(f"coverage, n = {items}")


def bootstrap(say: Callable[[str], None]) -> Iterator[Row]:
    """10,000 resamples on MMLU's 14,042 paired items: 0/1 scores, and fractional ones."""
    rng = np.random.default_rng(0)
    base = (rng.random(14042) < 0.6).astype(float)
    for what, shift in (("0/1", 0.0), ("fractional", 1.0)):
        other = np.where(rng.random(14042) < 0.05, 1 - base, base)
        paired = Paired(
            base * (1 - shift * rng.random(14042) / 2), other * (1 - shift * rng.random(14042) / 2), (None,) * 14042
        )
        times = []
        for seed in range(5):
            began = time.perf_counter()
            compare(paired, 0.01, [seed], resamples=10_000)
            times.append(time.perf_counter() - began)
        title = f"10,000 resamples of 14,042 paired items, {what} scores"
        yield Row(title, "s", f"under {BOOTSTRAP_S:g}", {"ours": times}, max(times) < BOOTSTRAP_S)
    say("bootstrap")
