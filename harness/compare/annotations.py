"""The checks that need attention as GitHub's workflow commands: annotations of the run.

    ::error title=max-itl-regression (fp8)::chat_512_256, server 4/s, itl_ms_p99: FAILED, failure: ...

Percent signs and line ends are escaped, in a property also colons and commas, as actions/toolkit does
(core/command.ts): what comes from a store is not able to end its command, or to start another. GitHub shows 10 errors
and 10 warnings of a step, so the ones furthest beyond their limits come first, and the tenth counts the others.
"""

from collections.abc import Iterator

from harness.analysis.decision.gates import INCONCLUSIVE, REFUSED, Check
from harness.compare.junit import said_of
from harness.compare.outcome import Outcome
from harness.report.words import plural
from harness.untrusted.visible import visible

SHOWN = 10  # of each level, by GitHub


def annotations(outcome: Outcome) -> Iterator[str]:
    found: dict[str, list[tuple[Check, str]]] = {"error": [], "warning": []}
    for pair in outcome.pairs:
        for check in pair.checks:
            if check.failed(outcome.strict):
                found["error"].append((check, pair.comparison.b.variant))
            elif check.status in (INCONCLUSIVE, REFUSED):
                found["warning"].append((check, pair.comparison.b.variant))
    for level, checks in found.items():
        worst = sorted(checks, key=lambda each: each[0].excess, reverse=True)
        most = SHOWN if len(worst) <= SHOWN else SHOWN - 1
        for check, variant in worst[:most]:
            title = _property(f"{check.gate} ({variant})")
            yield f"::{level} title={title}::{_data(f'{check.what}: {said_of(check, outcome.strict)}')}"
        if (more := len(worst) - most) > 0:
            yield f"::{level} title=harness compare::{plural(more, 'check')} more: see the table of the gates"


def _data(text: str) -> str:
    return visible(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
