"""Agreement with the baseline's greedy outputs: how often a variant says the same, and for how long.

It needs no judge and no right answers, and it is not quality: a variant that words an answer differently disagrees and
may be as good. It shows *that* a variant has changed on a few dozen answers, where scores show nothing yet. Greedy
decoding is not deterministic under concurrency, so that a baseline run again does not agree with itself to 100 %:
that agreement (`noise`) is the ceiling.

    exact          share of items whose outputs are the same, to the character
    prefix         mean over items of (characters up to the first difference) / (characters of the baseline's output)
    length_ratio   Σ characters of the variant's outputs / Σ of the baseline's

Characters, because the tokens of outputs are not stored and words mean nothing in code or Chinese. Two empty outputs
agree; an empty output of the baseline has prefix 0 with any other.
"""

from dataclasses import dataclass, replace

import numpy as np

from harness.analysis.quality.pairs import PairingError, baseline_runs, join_items, why_not
from harness.analysis.statistics.clustered import sums_ratio
from harness.analysis.statistics.intervals import Estimate, mean_score, wilson
from harness.analysis.statistics.seeds import seed_of
from harness.analysis.study import Measured, Study
from harness.records.item import Item


@dataclass(frozen=True)
class Sameness:
    """How far two runs agree over the same items."""

    exact: Estimate
    prefix: Estimate
    length_ratio: Estimate | None  # None when the baseline said nothing at all
    items: int


@dataclass(frozen=True)
class Agreement:
    """`same` is None when the runs cannot be compared; `not_compared` then says why."""

    variant: str
    suite: str
    same: Sameness | None
    noise: Sameness | None  # of two runs of the baseline
    items: int
    population: int | None
    source: str
    truncated: int  # outputs of the variant that were cut at the token limit
    not_compared: str | None

    @property
    def partial(self) -> bool:
        return self.population is not None and self.items < self.population


def agreements(study: Study) -> dict[tuple[str, str], Agreement]:
    """By (variant, suite), for the suites whose outputs are generated greedily."""
    found = {}
    for suite in study.suites:
        runs = [m for m in baseline_runs(study, suite) if m.scored.greedy]
        noise = _noise(study, suite, runs)
        for name in study.compared:
            own = next(iter(study.find("accuracy", name, suite)), None)
            if own is None or not own.scored.greedy or not _generated(items := own.items()):
                continue
            found[name, suite] = replace(_agreement(study, own, items, tuple(runs)), noise=noise)
    return found


def _generated(items: list[Item]) -> bool:
    """Multiple choice generates nothing, and its items have no reason why it ended."""
    return bool(items) and all(item.finish_reason for item in items)


def _agreement(study: Study, own: Measured, items: list[Item], runs: tuple[Measured, ...]) -> Agreement:
    suite = own.cell.subject
    same, reason = None, why_not(study, own, runs)
    if reason is None:
        try:
            where = f"{suite}, {own.cell.variant}"
            same = sameness(join_items(runs[0].items(), items, where), seed_of(study.seed, suite, "agreement"))
        except PairingError as error:
            reason = str(error)
    cut = sum(item.finish_reason == "length" for item in items)
    where_from = (own.scored.population, own.scored.source)
    return Agreement(own.cell.variant, suite, same, None, len(items), *where_from, cut, reason)


def _noise(study: Study, suite: str, runs: list[Measured]) -> Sameness | None:
    if len(runs) < 2 or not _generated(runs[0].items()):
        return None
    try:
        pairs = join_items(runs[0].items(), runs[1].items(), f"{suite}, baseline")
    except PairingError:
        return None
    return sameness(pairs, seed_of(study.seed, suite, "agreement"))


def sameness(pairs: list[tuple[Item, Item]], seed: list[int]) -> Sameness:
    """`pairs`: (baseline's, variant's) of each item."""
    texts = [(base.response, own.response) for base, own in pairs]
    lengths = np.array([(len(own), len(base)) for base, own in texts], dtype=float)
    return Sameness(
        exact=wilson(sum(base == own for base, own in texts), len(texts)),
        prefix=mean_score(np.array([prefix_share(base, own) for base, own in texts])),
        length_ratio=sums_ratio(lengths[:, 0], lengths[:, 1], seed),
        items=len(texts),
    )


def prefix_share(base: str, own: str) -> float:
    """Characters up to the first difference / characters of `base`."""
    if not base:
        return float(not own)
    same = next((at for at, (a, b) in enumerate(zip(base, own, strict=False)) if a != b), min(len(base), len(own)))
    return same / len(base)
