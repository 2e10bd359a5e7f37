"""The checks that need attention as GitHub's workflow commands: annotations of the run.

    ::error title=max-itl-regression (fp8)::chat_512_256, server 4/s, itl_ms_p99: FAILED, failure: ...

Percent signs and line ends are escaped, in a property also colons and commas, as actions/toolkit does
(core/command.ts): what comes from a store is not able to end its command, or to start another.
"""

from collections.abc import Iterator

from harness.analysis.decision.gates import INCONCLUSIVE, REFUSED
from harness.compare.junit import said_of
from harness.compare.outcome import Outcome
from harness.untrusted.visible import visible


def annotations(outcome: Outcome) -> Iterator[str]:
    for pair in outcome.pairs:
        for check in pair.checks:
            if check.failed(outcome.strict):
                level = "error"
            elif check.status in (INCONCLUSIVE, REFUSED):
                level = "warning"
            else:
                continue
            title = _property(f"{check.gate} ({pair.comparison.b.variant})")
            yield f"::{level} title={title}::{_data(f'{check.what}: {said_of(check, outcome.strict)}')}"


def _data(text: str) -> str:
    return visible(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
