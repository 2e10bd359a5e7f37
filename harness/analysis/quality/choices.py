"""How far a variant's probabilities over the choices of multiple choice lie from the baseline's.

In nats, KL(P || Q) = Σ p·ln(p/q) with P the baseline's distribution and Q the variant's: the softmax of the choices'
log-probabilities, so that the probability is shared out among the choices; mean over items, clustered by subject where
there are subjects. It shows damage that the scores of a few hundred items cannot show.
"""

from dataclasses import dataclass

import numpy as np

from harness.analysis.quality.pairs import PairingError, distances, join_items
from harness.analysis.statistics.clustered import clustered_share, resampled_mean
from harness.analysis.statistics.intervals import Estimate
from harness.analysis.study import Measured, Study
from harness.records.item import UNREADABLE, Item


@dataclass(frozen=True)
class ChoiceGap:
    """Between two runs of a multiple-choice suite."""

    kl: Estimate  # nats an item, over the choices
    top1: Estimate  # share of items with the same likeliest choice
    items: int


@dataclass(frozen=True)
class ChoiceDistance:
    variant: str
    suite: str
    gap: ChoiceGap | None
    noise: ChoiceGap | None  # between two runs of the baseline
    population: int | None
    source: str
    not_compared: str | None


def choice_distances(study: Study) -> dict[tuple[str, str], ChoiceDistance]:
    """By (variant, suite), for the suites whose rows keep the log-probabilities of their choices."""
    found = {}
    for suite in study.suites:
        for one in distances(study, suite, _choices, _has_logprobs):
            name, scored = one.own.cell.variant, one.own.scored
            found[name, suite] = ChoiceDistance(
                name, suite, one.gap, one.noise, scored.population, scored.source, one.reason
            )
    return found


def _has_logprobs(own: Measured) -> bool:
    return any(item.logprobs is not None for item in own.items())


def _choices(base: Measured, own: Measured, where: str, seed: list[int]) -> ChoiceGap:
    return choice_gap(join_items(base.items(), own.items(), where), seed)


def choice_gap(pairs: list[tuple[Item, Item]], seed: list[int]) -> ChoiceGap:
    """Raises PairingError for items whose choices differ, or that lack log-probabilities."""
    divergences, same = [], []
    pairs = [pair for pair in pairs if not any(item.finish_reason == UNREADABLE for item in pair)]
    if not pairs:
        raise PairingError("no item has an answer of both that could be read; measure both again")
    for base, own in pairs:
        left, right = base.logprobs, own.logprobs
        if not left or not right or left.keys() != right.keys():
            raise PairingError(f"item {base.id!r}: the log-probabilities of its choices differ in their labels")
        p, q = (log_softmax(np.array([side[label] for label in left], dtype=float)) for side in (left, right))
        divergences.append(max(0.0, float((np.exp(p) * (p - q)).sum())))
        same.append(float(p.argmax() == q.argmax()))
    groups = [base.group for base, _ in pairs]
    clusters = groups if None not in groups and len(set(groups)) > 1 else range(len(pairs))
    return ChoiceGap(resampled_mean(divergences, clusters, seed), clustered_share(same, clusters), len(pairs))


def log_softmax(logprobs: np.ndarray) -> np.ndarray:
    """ln of the probabilities shared out among the choices. A choice of -inf gets a very small one."""
    finite = np.maximum(logprobs, -1e4)
    shifted = finite - finite.max()
    return shifted - np.log(np.exp(shifted).sum())
