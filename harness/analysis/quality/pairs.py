"""The items of two cells, one by one; and the runs of a suite that a variant is held against."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from harness.analysis.statistics.seeds import seed_of
from harness.analysis.study import Measured, Study
from harness.errors import HarnessError
from harness.records.item import Item, TextWindow

Asked = TypeVar("Asked", Item, TextWindow)
Gap = TypeVar("Gap")  # what two runs differ by


class PairingError(HarnessError):
    """Two variants were not asked the same questions."""


def join_items(baseline: list[Asked], own: list[Asked], where: str) -> list[tuple[Asked, Asked]]:
    """(baseline's, variant's) of each item, joined on (id, doc_hash, prompt_hash), in the baseline's order.

    Raises PairingError unless both sides have the same items, each once.
    """
    left, right = _by_key(baseline, where), _by_key(own, where)
    if left.keys() != right.keys():
        odd = sorted(left.keys() ^ right.keys(), key=str)
        raise PairingError(
            f"{where}: {len(odd)} of {len(left.keys() | right.keys())} items were not asked in the same words to the "
            f"baseline and the variant (first: id {odd[0][0]!r}): their prompts or items differ; measure both again "
            "with one tokenizer, chat template and item set"
        )
    return [(item, right[key]) for key, item in left.items()]


def _by_key(items: list[Asked], where: str) -> dict[tuple, Asked]:
    found: dict[tuple, Asked] = {}
    for item in items:
        if item.key in found:
            raise PairingError(f"{where}: item {item.id!r} is stored twice; measure the cell again")
        found[item.key] = item
    if not found:
        raise PairingError(f"{where}: no items are stored; measure the cell again")
    return found


def baseline_runs(study: Study, suite: str) -> tuple[Measured, ...]:
    """Valid runs of the baseline on a suite: the first is compared with, the second gives the noise floor."""
    return tuple(m for m in study.find("accuracy", study.baseline, suite) if m.valid)


@dataclass(frozen=True)
class Distance(Generic[Gap]):
    """How far a run of a variant lies from the baseline's first run. `gap` None: `reason` says why."""

    own: Measured
    gap: Gap | None
    noise: Gap | None  # between two runs of the baseline
    reason: str | None


def distances(
    study: Study,
    suite: str,
    compare: Callable[[Measured, Measured, str, list[int]], Gap],
    kept: Callable[[Measured], bool],
) -> Iterator[Distance[Gap]]:
    """Yield the distance of each compared variant whose run has what is compared (`kept`)."""
    runs = baseline_runs(study, suite)
    noise = None
    for name in study.compared:
        own = next(iter(study.find("accuracy", name, suite)), None)
        if own is None or not kept(own):
            continue
        if noise is None and len(runs) > 1:
            noise = tried(compare, study, *runs[:2])[0]
        gap, reason = None, why_not(study, own, runs)
        if reason is None:
            gap, reason = tried(compare, study, runs[0], own)
        yield Distance(own, gap, noise, reason)


def why_not(study: Study, own: Measured, runs: tuple[Measured, ...]) -> str | None:
    """Why a variant's run cannot be held against the baseline's; None when it can."""
    if not runs:
        return f"{study.label(study.baseline)} has no valid result"
    return None if own.valid else f"the result of {study.label(own.cell.variant)} is invalid"


def tried(
    compare: Callable[[Measured, Measured, str, list[int]], Gap], study: Study, base: Measured, own: Measured
) -> tuple[Gap | None, str | None]:
    """Return (the gap, None), or (None, why there is none)."""
    suite = own.cell.subject
    try:
        return compare(base, own, f"{suite}, {own.cell.variant}", distance_seed(study, suite)), None
    except PairingError as error:
        return None, str(error)


def distance_seed(study: Study, suite: str) -> list[int]:
    return seed_of(study.seed, suite, "distance")
