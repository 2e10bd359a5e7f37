"""Which variant to ship: one of three outcomes, from what the study has measured and `decision` of its configuration.

1. Accuracy. A variant is acceptable when every criterion is established (criteria.py): non-inferior to the baseline at
   `decision.margin` on the deciding suites, and within the limits of `decision.fidelity`; corrected by Holm for the
   sweep's variants. A variant's other deployments have its accuracy and their own speeds; the baseline's are no
   candidates.
2. Gain. The first objective of `decision.objective` on which an acceptable variant is established as better than the
   baseline decides (objective.py); corrected by Holm for variants and objectives. The largest gain is shipped. Others
   whose interval reaches into its own are named beside it: that they share the baseline's error makes this
   cautious.

Each step is wrong with a probability of at most 2.5 %, so that SHIP names a variant that is not acceptable, or not
better than the baseline, in at most 5 % of studies (docs/accuracy.md; tests/benchmarks/recommendation.py).

RUN_MORE: a variant looks good, which means that nothing rejects it, every estimate keeps its limit, and it gains; what
is lacking is evidence, and `needs` says which (needs.py). NONE: no variant qualifies.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.analysis.decision.criteria import Candidate, candidates, deciding
from harness.analysis.decision.needs import Need, needs_of_criteria, needs_of_gains
from harness.analysis.decision.objective import Gains, best, objective_gains
from harness.analysis.quality.accuracy import SuiteResult
from harness.analysis.quality.judge import WinRate
from harness.analysis.quality.paired import ESTABLISHED, INCONCLUSIVE
from harness.analysis.quality.texts import TextDistance
from harness.analysis.speed.speedups import Speedups
from harness.analysis.study import Study

SHIP, RUN_MORE, NONE = "ship", "run_more", "none"


@dataclass(frozen=True)
class Recommendation:
    """`ship`: the largest established gain first, then those whose difference from it is not established; empty unless
    SHIP."""

    outcome: str  # SHIP | RUN_MORE | NONE
    ship: tuple[str, ...]
    promising: str | None  # RUN_MORE: the variant that looks good
    objective: str | None  # on which `ship`, or `promising`, gains; NONE: the first one that has gains
    candidates: dict[str, Candidate]  # the forms of the model, in the sweep's order
    suites: tuple[str, ...]  # the suites that decide
    gains: Gains  # of the acceptable variants and their deployments; RUN_MORE: of `promising` too
    needs: tuple[Need, ...] = field(default=())  # what would decide

    @property
    def acceptable(self) -> tuple[str, ...]:
        """The forms that meet every criterion, without their other deployments."""
        return tuple(name for name, found in self.candidates.items() if found.status == ESTABLISHED)


def recommend(
    study: Study,
    suites: Mapping[tuple[str, str], SuiteResult],
    win_rates: Mapping[tuple[str, str], WinRate],
    speedups: Mapping[str, Speedups],
    emulated: tuple[str, ...],
    texts: Mapping[tuple[str, str], TextDistance],
) -> Recommendation | None:
    """None for a study that compares no other form of the model, or serves nothing."""
    if not study.forms or not (study.suites or study.scenarios):
        return None
    found = candidates(study, suites, win_rates, texts)
    chosen = deciding(study, suites)

    def gains_of(statuses: tuple[str, ...]) -> Gains:
        """The gains of the forms with these statuses, and of their deployments."""
        able = [name for name in study.compared if _accuracy(study, found, name) in statuses]
        return objective_gains(study, speedups, able, emulated)

    gains = gains_of((ESTABLISHED,))
    for objective, known in gains.items():
        if ship := best(known):
            return Recommendation(SHIP, ship, None, objective, found, chosen, gains)
    if picked := _promising(study, found, gains_of((ESTABLISHED, INCONCLUSIVE))):
        objective, name, gains = picked
        needs = needs_of_criteria(study, found, suites, [study.variants[name].accuracy_of or name])
        needs += needs_of_gains(gains[objective][name], len(found)) if objective else ()
        return Recommendation(RUN_MORE, (), name, objective, found, chosen, gains, needs)
    first = next((objective for objective, known in gains.items() if known), None)
    undecided = [name for name, one in found.items() if one.status == INCONCLUSIVE]
    needs = needs_of_criteria(study, found, suites, undecided)
    return Recommendation(NONE, (), None, first, found, chosen, gains, needs)


def _accuracy(study: Study, found: Mapping[str, Candidate], name: str) -> str | None:
    """The status of the form whose scores a variant has; None for the baseline's deployments."""
    own = found.get(study.variants[name].accuracy_of or name)
    return own.status if own else None


def _promising(study: Study, found: Mapping[str, Candidate], gains: Gains) -> tuple[str, str, Gains] | None:
    """(objective, variant, gains): of what meets every limit by its value, the largest gain; acceptable ones first."""
    for objective, known in gains.items():
        able: dict[str, tuple[bool, float]] = {}
        for name, gain in known.items():
            form = found[study.variants[name].accuracy_of or name]
            acceptable = form.status == ESTABLISHED
            if gain.estimate.value > 1 and (acceptable or form.promising):
                able[name] = acceptable, gain.estimate.value
        if able:
            return objective, max(able, key=lambda name: able[name]), gains
    return None
