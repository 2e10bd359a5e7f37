"""How far a variant's probabilities lie from the baseline's: damage that the scores of a few hundred items cannot show.

Everything is in nats, KL(P || Q) = Σ_t p(t)·ln(p(t)/q(t)) with P the baseline's distribution and Q the variant's.

From multiple choice (`choice_distances`): P and Q are the softmax of the choices' log-probabilities, so that the
probability is shared out among the choices; mean over items, clustered by subject where there are subjects.

From a fixed text (`text_distances`, the suite `perplexity`): at every position the server gives the log-probability of
the token that stands there, a, and of its k likeliest tokens, not the whole vocabulary. Let S be the tokens whose
log-probability both gave (those in both top k, and a). Partition the vocabulary into the tokens of S, each alone, and
one block R of all the others. Then

    KL_S = Σ_{t in S} p(t)·ln(p(t)/q(t)) + p(R)·ln(p(R)/q(R)),    p(R) = 1 - Σ_{t in S} p(t), q(R) alike,

is at most KL(P || Q): by the log sum inequality Σ_{t in R} p(t)·ln(p(t)/q(t)) >= p(R)·ln(p(R)/q(R)) (T. M. Cover and
J. A. Thomas 2006, theorem 2.7.1: merging outcomes loses divergence, the data processing inequality). It is a *lower
bound*, tight when S holds nearly all of the probability; `covered` is the mean of Σ_{t in S} p(t).

    perplexity     exp(-Σ ln p(a) / tokens), over all scored tokens; `ratio` and `difference` are against the baseline's
    top1           share of positions at which both have the same likeliest token

Tokens of one window depend on each other: intervals are resampled over windows (clustered.py), a variant and the
baseline over the same ones.
"""

import base64
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from harness.analysis.quality.accuracy import seed_of
from harness.analysis.quality.pairs import PairingError, baseline_runs, join_items, why_not
from harness.analysis.statistics.clustered import (
    cluster_interval,
    cluster_sums,
    clustered_share,
    resampled_mean,
    resampled_totals,
)
from harness.analysis.statistics.intervals import Estimate
from harness.analysis.study import Measured, Study
from harness.records.item import UNREADABLE, Item, TextWindow

LEAST = 1e-7  # what a sum of float32 probabilities cannot tell from 0

Gap = TypeVar("Gap")


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


@dataclass(frozen=True)
class TextGap:
    """Between two runs over the same windows of text."""

    kl: Estimate  # nats a token, a lower bound
    covered: float  # probability, by the baseline, of the tokens that the bound sees one by one
    top1: Estimate
    ratio: Estimate  # of perplexities, variant / baseline
    difference: Estimate  # of perplexities, variant - baseline


@dataclass(frozen=True)
class TextDistance:
    """Of every variant, the baseline included; its `gap` is None, and so is another's that cannot be compared."""

    variant: str
    suite: str
    perplexity: Estimate | None  # None where the cell is invalid
    tokens: int
    windows: int
    population: int | None  # windows of the whole text
    source: str
    gap: TextGap | None
    noise: TextGap | None  # between two runs of the baseline
    not_compared: str | None

    @property
    def partial(self) -> bool:
        return self.population is not None and self.windows < self.population


# -- multiple choice -------------------------------------------------------------------------------------------------


def choice_distances(study: Study) -> dict[tuple[str, str], ChoiceDistance]:
    """By (variant, suite), for the suites whose rows keep the log-probabilities of their choices."""
    found = {}
    for suite in study.suites:
        runs = baseline_runs(study, suite)
        noise = None
        for name in study.compared:
            own = next(iter(study.find("accuracy", name, suite)), None)
            if own is None or not any(item.logprobs is not None for item in own.items()):
                continue
            noise = noise or _choice_noise(study, suite, runs)
            gap, reason = None, why_not(study, own, runs)
            if reason is None:
                gap, reason = _tried(_choices, study, runs[0], own)
            where_from = (own.scored.population, own.scored.source)
            found[name, suite] = ChoiceDistance(name, suite, gap, noise, *where_from, reason)
    return found


def _choice_noise(study: Study, suite: str, runs: tuple[Measured, ...]) -> ChoiceGap | None:
    return _tried(_choices, study, *runs[:2])[0] if len(runs) > 1 else None


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


# -- a fixed text ----------------------------------------------------------------------------------------------------


def text_distances(study: Study) -> dict[tuple[str, str], TextDistance]:
    """By (variant, suite), for the suites that store the log-probabilities of a text."""
    found = {}
    for suite in study.suites:
        runs = baseline_runs(study, suite)
        noise = None
        for name in study.variants:
            own = next(iter(study.find("accuracy", name, suite)), None)
            if own is None or own.scored.primary != "perplexity":
                continue
            if name == study.baseline:
                noise = _tried(_texts, study, *runs[:2])[0] if len(runs) > 1 else None
                found[name, suite] = _text_distance(study, own)
                continue
            gap, reason = None, why_not(study, own, runs)
            if reason is None:
                gap, reason = _tried(_texts, study, runs[0], own)
            found[name, suite] = replace(_text_distance(study, own), gap=gap, noise=noise, not_compared=reason)
    return found


def _text_distance(study: Study, own: Measured) -> TextDistance:
    windows = own.windows()
    read = sum(window.tokens > 0 for window in windows)  # 0: its answer could not be read
    perplexity = perplexity_of(windows, _seed(study, own.cell.suite)) if own.valid and read else None
    return TextDistance(
        variant=own.cell.variant,
        suite=own.cell.suite,
        perplexity=perplexity,
        tokens=sum(window.tokens for window in windows),
        windows=read,
        population=own.scored.population,
        source=own.scored.source,
        gap=None,
        noise=None,
        not_compared=None,
    )


def perplexity_of(windows: list[TextWindow], seed: list[int]) -> Estimate:
    sums = np.array([(window.logprob_sum, window.tokens) for window in windows if window.tokens], dtype=float)
    totals = resampled_totals(sums, seed)
    value = float(np.exp(-sums[:, 0].sum() / sums[:, 1].sum()))
    return cluster_interval(value, np.exp(-totals[:, 0] / totals[:, 1]), len(sums))


def text_gap(pairs: list[tuple[TextWindow, TextWindow]], seed: list[int]) -> TextGap:
    """Raises PairingError for windows that were scored at different tokens."""
    windows, kl, covered, same = [], [], [], []
    pairs = [(base, own) for base, own in pairs if base.tokens and own.tokens]
    if not pairs:
        raise PairingError("no window was scored for both; measure both again")
    for number, (base, own) in enumerate(pairs):
        p, q = _positions(base), _positions(own)
        if not np.array_equal(p.tokens, q.tokens):
            raise PairingError(f"window {base.id!r} was scored at different tokens; measure both again")
        bound, mass = kl_lower_bound(p, q)
        kl.append(bound)
        covered.append(mass)
        same.append(p.top_ids[:, 0] == q.top_ids[:, 0])
        windows.append(np.full(len(bound), number))
    of = np.concatenate(windows)
    divergence = np.concatenate(kl)
    sums = np.column_stack(
        [
            cluster_sums(np.column_stack([divergence, np.ones(len(of))]), of),
            [(base.logprob_sum, own.logprob_sum) for base, own in pairs],
        ]
    )  # columns: KL, tokens, ln p of the baseline, ln p of the variant
    totals = resampled_totals(sums, seed)
    values, count = sums.sum(axis=0), len(pairs)
    base_ppl, own_ppl = (np.exp(-totals[:, column] / totals[:, 1]) for column in (2, 3))
    base_value, own_value = (float(np.exp(-values[column] / values[1])) for column in (2, 3))
    return TextGap(
        kl=cluster_interval(float(values[0] / values[1]), totals[:, 0] / totals[:, 1], count),
        covered=float(np.concatenate(covered).mean()),
        top1=clustered_share(np.concatenate(same), of),
        ratio=cluster_interval(own_value / base_value, own_ppl / base_ppl, count),
        difference=cluster_interval(own_value - base_value, own_ppl - base_ppl, count),
    )


@dataclass(frozen=True)
class Positions:
    """Scored positions of a window: [n] and [n, k] arrays; `top_*` from the likeliest down."""

    tokens: np.ndarray
    token_logprobs: np.ndarray
    top_ids: np.ndarray
    top_logprobs: np.ndarray


def _positions(window: TextWindow) -> Positions:
    n, k = window.tokens, window.top_k
    return Positions(
        _array(window.token_ids, "<u4"),
        _array(window.token_logprobs, "<f4").astype(float),
        _array(window.top_ids, "<u4").reshape(n, k),
        _array(window.top_logprobs, "<f4").reshape(n, k).astype(float),
    )


def _array(text: str, kind: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype=kind)


def kl_lower_bound(p: Positions, q: Positions) -> tuple[np.ndarray, np.ndarray]:
    """(KL_S, Σ_{t in S} p(t)) at each position; see the module's docstring."""
    match = p.top_ids[:, :, None] == q.top_ids[:, None, :]  # [n, k of P, k of Q]; ids are distinct on each side
    in_both = match.any(axis=2)
    of_q = np.take_along_axis(q.top_logprobs, match.argmax(axis=2), axis=1)
    ln_p, ln_q = np.where(in_both, p.top_logprobs, -np.inf), np.where(in_both, of_q, -np.inf)
    lone = ~(in_both & (p.top_ids == p.tokens[:, None])).any(axis=1)  # a is not among them: it is known all the same
    ln_p = np.column_stack([ln_p, np.where(lone, p.token_logprobs, -np.inf)])
    ln_q = np.column_stack([ln_q, np.where(lone, q.token_logprobs, -np.inf)])
    known = np.isfinite(ln_p)
    mass_p, mass_q = np.exp(ln_p), np.exp(ln_q)
    singles = np.where(known, mass_p * (np.where(known, ln_p, 0.0) - np.where(known, ln_q, 0.0)), 0.0).sum(axis=1)
    covered = mass_p.sum(axis=1)
    rest_p, rest_q = (np.maximum(1 - mass, LEAST) for mass in (covered, mass_q.sum(axis=1)))
    return np.maximum(0.0, singles + rest_p * np.log(rest_p / rest_q)), np.minimum(1.0, covered)


def _choices(base: Measured, own: Measured, where: str, seed: list[int]) -> ChoiceGap:
    return choice_gap(join_items(base.items(), own.items(), where), seed)


def _texts(base: Measured, own: Measured, where: str, seed: list[int]) -> TextGap:
    return text_gap(join_items(base.windows(), own.windows(), where), seed)


def _tried(
    compare: Callable[[Measured, Measured, str, list[int]], Gap], study: Study, base: Measured, own: Measured
) -> tuple[Gap | None, str | None]:
    """(the gap, None), or (None, why there is none)."""
    suite = own.cell.suite
    try:
        return compare(base, own, f"{suite}, {own.cell.variant}", _seed(study, suite)), None
    except PairingError as error:
        return None, str(error)


def _seed(study: Study, suite: str) -> list[int]:
    return seed_of(study.seed, suite, "distance")
