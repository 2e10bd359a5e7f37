"""Accuracy of a variant against the baseline: the same items, paired, with intervals and a verdict."""

from dataclasses import dataclass, replace

import numpy as np

from harness.analysis.quality.paired import (
    ESTABLISHED,
    INCONCLUSIVE,
    REJECTED,
    Comparison,
    Paired,
    compare,
    non_inferiority,
    pair_items,
    paired_interval,
)
from harness.analysis.quality.pairs import PairingError, join_items
from harness.analysis.statistics.clustered import robust_mean
from harness.analysis.statistics.intervals import (
    RESAMPLES,
    Estimate,
    mean_score,
    ratio,
    resample_means,
    wilson,
)
from harness.analysis.statistics.seeds import seed_of
from harness.analysis.statistics.significance import draws_test, holm
from harness.analysis.study import Measured, Study
from harness.records.accuracy_result import Counts
from harness.records.item import Item

__all__ = [
    "ESTABLISHED",
    "INCONCLUSIVE",
    "REJECTED",
    "PairingError",
    "compare",
    "non_inferiority",
    "pair_items",
    "suite_results",
]


@dataclass(frozen=True)
class SuiteResult:
    variant: str
    suite: str
    metric: str
    score: Estimate
    clustered: Estimate | None  # the score, items of one group (MMLU's subjects) allowed to be alike
    items: int
    population: int | None
    source: str
    counts: Counts
    other_scores: dict[str, float]
    categories: dict[str, Estimate]  # MMLU's stem, humanities, social_sciences, other
    valid: bool
    comparison: Comparison | None
    not_compared: str | None  # why, where there is no comparison
    chance: float | None = None  # the score of a guess, where the choices are known

    @property
    def partial(self) -> bool:
        return self.population is not None and self.items < self.population

    @property
    def at_chance(self) -> bool:
        """The score cannot be told from guessing: two variants that guess agree, whatever they lost."""
        return self.chance is not None and self.score.low is not None and self.score.low <= self.chance

    @property
    def tells_apart(self) -> bool:
        """Whether a recovery against this baseline is informative: not where it guesses or scores nothing."""
        return bool(self.score.value) and not self.at_chance


@dataclass(frozen=True)
class AverageRecovery:
    """Macro-average over suites; `recovery` is None, and `reason` says why, when a suite has no comparison.

    `left_out`: suites that are not averaged, as the baseline is at chance there or scored nothing; `unscored`: those of
    them on which it scored nothing.
    """

    recovery: Estimate | None
    suites: tuple[str, ...]
    verdict: str | None
    reason: str | None
    p: float | None = None  # of a recovery of 1, from the draws
    p_holm: float | None = None  # corrected for the variants of the sweep
    left_out: tuple[str, ...] = ()
    unscored: tuple[str, ...] = ()

    @property
    def uninformative(self) -> bool:
        """No suite is left that distinguishes variants."""
        return self.recovery is None and bool(self.left_out) and not self.suites

    @property
    def why_left_out(self) -> str:
        """``the baseline is at chance on mmlu and scores 0 on gsm8k, humaneval``"""
        guessed = [suite for suite in self.left_out if suite not in self.unscored]
        said = [f"is at chance on {', '.join(guessed)}"] if guessed else []
        said += [f"scores 0 on {', '.join(self.unscored)}"] if self.unscored else []
        return f"the baseline {' and '.join(said)}" if said else ""


def average_recovery(pairs: dict[str, Paired], margin: float, seed: int, resamples: int = RESAMPLES) -> AverageRecovery:
    """Σ variant scores / Σ baseline scores over suites, each suite with equal weight; suites resampled independently.

    The ratio of averages, as model cards give it: the average of ratios would be ruled by the suite that the
    baseline scores lowest on.
    """
    draws = {
        suite: resample_means(p.baseline, p.variant, seed_of(seed, suite), resamples) for suite, p in pairs.items()
    }
    below = sum(p.baseline.mean() for p in pairs.values())
    if not below:
        return AverageRecovery(None, tuple(pairs), None, "the baseline scored nothing")
    value = float(sum(p.variant.mean() for p in pairs.values()) / below)
    b_means, v_means = (np.sum([draw[side] for draw in draws.values()], axis=0) for side in (0, 1))
    ratios = ratio(v_means, b_means)
    recovery = paired_interval(value, ratios, *pairs.values())
    return AverageRecovery(recovery, tuple(pairs), non_inferiority(recovery, margin), None, draws_test(ratios, 1.0))


def suite_results(study: Study) -> tuple[dict[tuple[str, str], SuiteResult], dict[str, AverageRecovery]]:
    """Results by (variant, suite), for suites scored item by item, and the average recovery by variant."""
    results: dict[tuple[str, str], SuiteResult] = {}
    pairs: dict[str, dict[str, Paired]] = {name: {} for name in study.variants}
    for suite in study.suites:
        base = _first(study, study.baseline, suite)
        runs = [m for m in study.find("accuracy", study.baseline, suite) if m.scored.scores and m.valid]
        noise = _noise(study, suite, runs)
        for name in study.variants:
            if (own := _first(study, name, suite)) is None:
                continue
            result = _result(own, _reference(runs) if own is base and own.valid else own.items())
            if name != study.baseline:
                result, paired = _against(study, result, base, own, runs)
                if noise and result.comparison:
                    result = replace(result, comparison=_beside(result.comparison, noise))
                if paired is not None:
                    pairs[name][suite] = paired
            results[name, suite] = result
    results = _corrected(results)
    wanted = [suite for suite in study.suites if (study.baseline, suite) in results]
    left_out = tuple(suite for suite in wanted if not results[study.baseline, suite].tells_apart)
    unscored = tuple(suite for suite in left_out if not results[study.baseline, suite].score.value)
    averages = {name: _average(study, pairs[name], wanted, left_out, unscored) for name in study.forms}
    adjusted = holm({name: average.p for name, average in averages.items()})
    averages = {name: replace(average, p_holm=adjusted[name]) for name, average in averages.items()}
    return results, {name: averages.get(name) or _shared(study, averages, name, wanted) for name in study.compared}


def _corrected(results: dict[tuple[str, str], SuiteResult]) -> dict[tuple[str, str], SuiteResult]:
    """Holm over every comparison of the sweep: with four variants and five suites, one p below 0.05 is no news."""
    adjusted = holm({key: result.comparison.p for key, result in results.items() if result.comparison})
    return {
        key: replace(result, comparison=replace(result.comparison, p_holm=adjusted[key]))
        if result.comparison
        else result
        for key, result in results.items()
    }


def _first(study: Study, variant: str, suite: str) -> Measured | None:
    """The first run of a suite that has scores (the answers that a judge will score have none)."""
    return next((m for m in study.find("accuracy", variant, suite) if m.scored.scores), None)


def _reference(runs: list[Measured]) -> list[Item]:
    """Items of the baseline's first two runs, each with the mean of its scores; of the first where they do not pair."""
    first = runs[0].items()
    if len(runs) < 2 or runs[0].scored.primary != runs[1].scored.primary:
        return first
    metric = runs[0].scored.primary
    try:
        pairs = join_items(first, runs[1].items(), "")
    except PairingError:
        return first
    if any(metric not in item.scores for pair in pairs for item in pair):
        return first
    means = [(a.scores[metric] + b.scores[metric]) / 2 for a, b in pairs]
    return [replace(a, scores=a.scores | {metric: mean}) for (a, _), mean in zip(pairs, means, strict=True)]


def _result(measured: Measured, items: list[Item]) -> SuiteResult:
    result, clustered = measured.scored, None
    metric = result.primary
    values = [item.scores.get(metric) for item in items]
    if values and None not in values:
        score, count = mean_score(np.array(values, dtype=float)), len(values)
        clustered = robust_mean(np.array(values, dtype=float), tuple(item.group for item in items))
        if clustered and clustered.bounds:
            low, high = clustered.bounds
            clustered = replace(clustered, low=max(0.0, low), high=min(1.0, high))
    else:
        score, count = Estimate(result.scores[metric].value), result.scores[metric].n
    return SuiteResult(
        variant=measured.cell.variant,
        suite=measured.cell.subject,
        metric=metric,
        score=score,
        clustered=clustered,
        items=count,
        population=result.population,
        source=result.source,
        counts=result.counts,
        other_scores={name: score.value for name, score in result.scores.items() if name != metric},
        categories={name: wilson(score.value * score.n, score.n) for name, score in result.categories.items()},
        valid=measured.valid,
        comparison=None,
        not_compared=None,
        chance=_chance(items),
    )


def _chance(items: list[Item]) -> float | None:
    """Expected score of a guess among each item's choices; None where an item has no choices."""
    choices = [len(item.logprobs or ()) for item in items]
    return float(np.mean([1 / count for count in choices])) if choices and min(choices) > 1 else None


def _against(
    study: Study, result: SuiteResult, base: Measured | None, own: Measured, runs: list[Measured]
) -> tuple[SuiteResult, Paired | None]:
    """The result with its comparison, or with the reason why there is none; and the pairs it rests on.

    The baseline's first two runs (`runs`) are the reference together; flips are counted against the first.
    """
    baseline = study.label(study.baseline)
    if base is None:
        return replace(result, not_compared=f"{baseline} was not measured"), None
    if not (own.valid and base.valid):
        which = study.label(result.variant) if not own.valid else baseline
        return replace(result, not_compared=f"the result of {which} is invalid"), None
    where = f"{result.suite}, {result.variant}"
    try:
        if base.scored.primary != result.metric:
            raise PairingError(f"{result.suite}: {result.metric!r} is compared with {base.scored.primary!r}")
        first = pair_items(base.items(), own.items(), result.metric, where)
        paired = pair_items(_reference(runs), own.items(), result.metric, where)
    except PairingError as error:
        return replace(result, not_compared=str(error)), None
    comparison = compare(paired, study.margin, seed_of(study.seed, result.suite))
    lost, gained = (int(side.sum()) for side in (first.variant < first.baseline, first.variant > first.baseline))
    return replace(result, comparison=replace(comparison, lost=lost, gained=gained)), paired


def _noise(study: Study, suite: str, runs: list[Measured]) -> Comparison | None:
    """The baseline's second run against its first: what a difference of nothing looks like."""
    if len(runs) < 2:
        return None
    try:
        paired = pair_items(runs[0].items(), runs[1].items(), runs[0].scored.primary, f"{suite}, baseline")
    except PairingError:
        return None
    return compare(paired, study.margin, seed_of(study.seed, suite, "noise"))


def _beside(comparison: Comparison, noise: Comparison) -> Comparison:
    return replace(comparison, noise=noise.difference, noise_flips=(noise.lost, noise.gained))


def _average(
    study: Study,
    pairs: dict[str, Paired],
    wanted: list[str],
    left_out: tuple[str, ...] = (),
    unscored: tuple[str, ...] = (),
) -> AverageRecovery:
    if not wanted:
        return AverageRecovery(None, (), None, f"{study.label(study.baseline)} has no scored suite")
    averaged = {suite: pair for suite, pair in pairs.items() if suite not in left_out}
    kept = [suite for suite in wanted if suite not in left_out]
    whole = AverageRecovery(None, tuple(averaged), None, None, left_out=left_out, unscored=unscored)
    if not kept:
        return replace(whole, reason=whole.why_left_out)
    if lacking := [suite for suite in kept if suite not in pairs]:
        why = f"no comparison on {', '.join(lacking)}"
        return replace(whole, reason=why)
    return replace(average_recovery(averaged, study.margin, study.seed), left_out=left_out, unscored=unscored)


def _shared(study: Study, averages: dict[str, AverageRecovery], name: str, wanted: list[str]) -> AverageRecovery:
    """Return the average recovery of the variant whose scores a deployment has."""
    scored = study.variants[name].accuracy_of
    if scored == study.baseline and wanted:
        return AverageRecovery(Estimate(1.0, 1.0, 1.0), tuple(wanted), None, None)  # by definition
    return (averages.get(scored) if scored else None) or _average(study, {}, wanted)


def counted(counts: Counts) -> str:
    """``3 truncated, 1 empty``: what a reader must know about a score; nothing when all answers were whole."""
    return ", ".join(f"{n} {kind}" for kind, n in counts.to_json().items() if n and kind != "items")
