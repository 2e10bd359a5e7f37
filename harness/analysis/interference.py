"""From the repeats of an interference test to what neighbours change. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.analysis.statistics.repeats import log_error, with_errors
from harness.records.interference import ACCURACY, LOAD, Beside, Change

ALONE = "alone"
METRICS = ("itl_ms_p50", "itl_ms_p99", "output_tok_per_s")


@dataclass(frozen=True)
class Reading:
    """The figures of one repeat. `neighbours`: ALONE, or what they sent meanwhile."""

    round: int
    neighbours: str
    figures: Mapping[str, float]  # of METRICS


def beside(readings: Sequence[Reading]) -> tuple[Beside, ...]:
    """Return the changes beside neighbours of each kind that was measured.

    Each repeat is compared with that alone of the same round: what drifts over the rounds is on both sides. The ratio
    is a geometric mean, with Student's t interval on the logarithms of the rounds' ratios.
    """
    alone = {one.round: one.figures for one in readings if one.neighbours == ALONE}
    found = []
    for kind in (LOAD, ACCURACY):
        pairs = [(one.figures, alone[one.round]) for one in readings if one.neighbours == kind and one.round in alone]
        if pairs:
            found.append(Beside(kind, tuple(_changes(pairs))))
    return tuple(found)


def _changes(pairs: Sequence[tuple[Mapping[str, float], Mapping[str, float]]]) -> Iterable[Change]:
    for metric in METRICS:
        both = [(with_[metric], without[metric]) for with_, without in pairs]
        if any(value <= 0 for pair in both for value in pair):
            continue  # no gap between tokens was seen: nothing to compare
        ratios = [busy / idle for busy, idle in both]
        alone = float(np.exp(np.mean(np.log([idle for _, idle in both]))))
        estimate = with_errors(float(np.exp(np.mean(np.log(ratios)))), log_error(ratios))
        yield Change(metric, alone, estimate.value, estimate.low, estimate.high)
