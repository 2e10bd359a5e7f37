"""How far a variant's probabilities of a fixed text lie from the baseline's, and its perplexity.

In nats, KL(P || Q) = Σ_t p(t)·ln(p(t)/q(t)) with P the baseline's distribution and Q the variant's. It shows damage
that the scores of a few hundred items cannot show.

At every position of the text (the suite `perplexity`) the server gives the log-probability of the token there, a, and
of its k likeliest tokens, not the whole vocabulary. Let S be the tokens whose log-probability both gave (those in both
top k, and a). Partition the vocabulary into the tokens of S, each alone, and one block R of all the others. Then

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
from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import geometric_mean

import numpy as np

from harness.analysis.quality.pairs import PairingError, distance_seed, distances, join_items
from harness.analysis.statistics.clustered import cluster_interval, cluster_sums, clustered_share, resampled_totals
from harness.analysis.statistics.intervals import Estimate
from harness.analysis.study import Measured, Study
from harness.records.item import TextWindow

LEAST = 1e-7  # what a sum of float32 probabilities cannot tell from 0


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
    """A variant's perplexity and distance; `gap` is None for the baseline, and where nothing can be compared."""

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


def perplexity_ratios(distances: Mapping[tuple[str, str], TextDistance]) -> dict[str, Estimate]:
    """By variant: perplexity / the baseline's; the geometric mean over texts where there are several, as a point."""
    found: dict[str, list[Estimate]] = {}
    for (variant, _), distance in distances.items():
        if distance.gap:
            found.setdefault(variant, []).append(distance.gap.ratio)
    return {name: r[0] if len(r) == 1 else Estimate(geometric_mean(e.value for e in r)) for name, r in found.items()}


def text_distances(study: Study) -> dict[tuple[str, str], TextDistance]:
    """By (variant, suite), for the suites that store the log-probabilities of a text."""
    found: dict[tuple[str, str], TextDistance] = {}
    for suite in study.suites:
        base = next(iter(study.find("accuracy", study.baseline, suite)), None)
        known = {study.baseline: _text_distance(study, base)} if base and _is_text(base) else {}
        for one in distances(study, suite, _texts, _is_text):
            own = _text_distance(study, one.own)
            known[own.variant] = replace(own, gap=one.gap, noise=one.noise, not_compared=one.reason)
        found |= {(name, suite): known[name] for name in study.variants if name in known}
    return found


def _is_text(own: Measured) -> bool:
    return own.scored.primary == "perplexity"


def _text_distance(study: Study, own: Measured) -> TextDistance:
    windows = own.windows()
    read = sum(window.tokens > 0 for window in windows)  # 0: its answer could not be read
    perplexity = perplexity_of(windows, distance_seed(study, own.cell.subject)) if own.valid and read else None
    return TextDistance(
        variant=own.cell.variant,
        suite=own.cell.subject,
        perplexity=perplexity,
        tokens=sum(window.tokens for window in windows),
        windows=read,
        population=own.scored.population,
        source=own.scored.source,
        gap=None,
        noise=None,
        not_compared=None,
    )


def _texts(base: Measured, own: Measured, where: str, seed: list[int]) -> TextGap:
    return text_gap(join_items(base.windows(), own.windows(), where), seed)


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
            np.array([(base.logprob_sum, own.logprob_sum) for base, own in pairs]),
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
