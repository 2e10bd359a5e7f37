"""A comparison with its checks decided: what every output shows."""

from collections.abc import Sequence
from dataclasses import dataclass

from harness.analysis.comparison import Comparison, compare_sides
from harness.analysis.decision.gate_rule import decide
from harness.analysis.decision.gates import INCONCLUSIVE, NOTE, REFUSED, Check, Gates, checks
from harness.analysis.start_values import check_apart, speed_alone, start_values
from harness.compare.sides import Group


@dataclass(frozen=True)
class Pair:
    """`comparison`: of the newest start of A and the first of B."""

    comparison: Comparison
    checks: list[Check]
    references: tuple[str, ...]  # places of all starts of A
    candidates: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    pairs: tuple[Pair, ...]
    strict: bool
    regression: float  # whose power is stated
    command: str

    @property
    def checks(self) -> list[Check]:
        return [check for pair in self.pairs for check in pair.checks]

    @property
    def compared(self) -> list[tuple[Comparison, list[Check]]]:
        return [(pair.comparison, pair.checks) for pair in self.pairs]

    @property
    def failing(self) -> list[Check]:
        return [check for check in self.checks if check.failed(self.strict)]

    @property
    def failed(self) -> bool:
        return bool(self.failing)

    @property
    def refused(self) -> int:
        return sum(check.status == REFUSED for check in self.checks)

    @property
    def verdict(self) -> str:
        """``FAILED: 2 of 9 checks failed, 1 inconclusive``; empty where nothing was checked."""
        counted = [check for check in self.checks if check.status != NOTE]
        if not self.checks:
            return ""
        inconclusive = sum(check.status == INCONCLUSIVE for check in counted)
        more = f", {inconclusive} inconclusive" if inconclusive else ""
        more += f", {self.refused} refused" if self.refused else ""
        if self.failed:
            return f"FAILED: {len(self.failing)} of {len(counted)} checks failed{more}"
        if self.refused:
            return f"REFUSED: {self.refused} of {len(counted)} checks lack what they need; none failed{more}"
        return f"passed: none of {len(counted)} checks failed{more}"


def compare_groups(found: Sequence[Group], gates: Gates, strict: bool, regression: float, command: str) -> Outcome:
    """Compare each group of starts, and decide over the checks of all groups together. Raises ConfigError."""
    margin = None if gates.min_recovery is None else max(0.0, 1 - gates.min_recovery)
    compared: list[tuple[Group, Comparison, list[Check]]] = []
    for group in found:
        check_apart([*group.references, *group.candidates])
        comparison = compare_sides(group.a, group.b, margin, command)
        b, a = speed_alone(group.b), speed_alone(group.a)
        by_reference = [compare_sides(speed_alone(s), b) if s is not group.a else comparison for s in group.references]
        by_candidate = [compare_sides(a, speed_alone(s)) if s is not group.b else comparison for s in group.candidates]
        compared.append((group, comparison, checks(comparison, gates, start_values(by_reference, by_candidate))))
    decided = iter(decide([check for _, _, own in compared for check in own], regression))
    pairs = [Pair(comparison, [next(decided) for _ in own], *group.places) for group, comparison, own in compared]
    return Outcome(tuple(pairs), strict, regression, command)
