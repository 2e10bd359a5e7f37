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
from typing import Any

import numpy as np

from harness.analysis.quality.accuracy import seed_of, source_name
from harness.analysis.quality.pairs import PairingError, baseline_runs, join_rows, why_not
from harness.analysis.statistics.clustered import sums_ratio
from harness.analysis.statistics.intervals import Estimate, mean_score, wilson
from harness.analysis.study import Measured, Study


@dataclass(frozen=True)
class Sameness:
    """Of two runs over the same items."""

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
        runs = [m for m in baseline_runs(study, suite) if is_greedy(m.result)]
        noise = _noise(study, suite, runs)
        for name in study.compared:
            own = next(iter(study.find("accuracy", name, suite)), None)
            if own is None or not is_greedy(own.result) or not _generated(rows := own.load_rows()):
                continue
            found[name, suite] = replace(_agreement(study, own, rows, tuple(runs)), noise=noise)
    return found


def is_greedy(result: dict[str, Any]) -> bool:
    """A suite that samples says so: a temperature above 0, or a `decoding` that is not greedy, in its details."""
    details = result.get("details") or {}
    decoding = str(details.get("decoding") or "greedy")
    return not details.get("temperature") and decoding.startswith("greedy")


def _generated(rows: list[dict[str, Any]]) -> bool:
    """Multiple choice generates nothing, and its rows have no reason why it ended."""
    return bool(rows) and all(isinstance(row.get("response"), str) and row.get("finish_reason") for row in rows)


def _agreement(study: Study, own: Measured, rows: list[dict[str, Any]], runs: tuple[Measured, ...]) -> Agreement:
    suite, data = own.cell.suite, own.result.get("data") or {}
    same, reason = None, why_not(study, own, runs)
    if reason is None:
        try:
            where = f"{suite}, {own.cell.variant}"
            same = sameness(join_rows(runs[0].load_rows(), rows, where), seed_of(study.seed, suite, "agreement"))
        except PairingError as error:
            reason = str(error)
    cut = sum(row["finish_reason"] == "length" for row in rows)
    where_from = (data.get("population"), source_name(data))
    return Agreement(own.cell.variant, suite, same, None, len(rows), *where_from, cut, reason)


def _noise(study: Study, suite: str, runs: list[Measured]) -> Sameness | None:
    if len(runs) < 2 or not _generated(runs[0].load_rows()):
        return None
    try:
        pairs = join_rows(runs[0].load_rows(), runs[1].load_rows(), f"{suite}, baseline")
    except PairingError:
        return None
    return sameness(pairs, seed_of(study.seed, suite, "agreement"))


def sameness(pairs: list[tuple[dict[str, Any], dict[str, Any]]], seed: list[int]) -> Sameness:
    """`pairs`: (baseline's row, variant's row) of each item."""
    texts = [(base["response"], own["response"]) for base, own in pairs]
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
