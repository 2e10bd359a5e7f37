"""Whether the servers that someone else runs can be measured: each is asked for its models and for one answer."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.engines import Server
from harness.engines.limits import Meter
from harness.errors import DiskFull, HarnessError
from harness.records.cell import PlannedCell
from harness.sweeps.estimates.pace import Answer
from harness.sweeps.plan import Plan
from harness.sweeps.prepare import Prepared
from harness.sweeps.session import Session


@dataclass(frozen=True)
class Asked:
    """A session whose server was asked, what is wrong with it, the tokens that this took, and how fast it answered."""

    session: Session
    problem: str | None
    used: Meter = field(default_factory=Meter)
    answer: Answer | None = None


def ask(prepared: Prepared, plan: Plan, wanted: Iterable[PlannedCell], send: bool = True) -> Iterator[Asked]:
    """Ask each endpoint that has cells to measure; `send`: for an answer too, not only for its models.

    The key, the served model and its build are checked by `Engine.serve`; the tokenizer, the corpus and the form of
    the requests by one request of the session's first scenario. A suite's own first request tells what it lacks.
    """
    keys = {cell.key for cell in wanted}
    for session in plan.sessions:
        pending = any(cell.key in keys for cell in session.cells)
        if pending and session.served and prepared.engine.target(session.served.name) is not None:
            yield _asked(prepared, session, send)


def _asked(prepared: Prepared, session: Session, send: bool) -> Asked:
    assert session.served is not None
    used = Meter()
    answer = None
    try:
        with prepared.engine.serve(session.served, Path("/dev/null")) as server:
            used = server.meter
            if send and session.scenarios:
                answer = _send(prepared, session.scenarios[0], server)
    except DiskFull:
        raise
    except HarnessError as error:
        return Asked(session, f"variant {session.label}: {str(error).removeprefix(f'variant {session.label}: ')}", used)
    return Asked(session, None, used, answer)


def _send(prepared: Prepared, scenario: str, server: Server) -> Answer | None:
    """Send one request; None where warm-ups are off, or it was answered at once. Raises HarnessError."""
    from harness.loadgen.bench import Bench
    from harness.loadgen.measure import warm_up
    from harness.loadgen.traffic.requests import Traffic
    from harness.text.tokenizer import load_tokenizer

    config = prepared.config
    tokenizer = load_tokenizer(prepared.workshop.tokenizer(config.model).location)
    load = replace(config.load, warmup_requests=1)
    samples = warm_up(Bench(server, tokenizer, Traffic(scenario, config.scenarios[scenario], load, config.seed)))
    first = next((s for s in samples if s.completed and len(s.token_s) > 1), None)
    if first is None or first.sent_s is None:
        return None
    gap_s = float(first.token_s[-1] - first.token_s[0]) / (len(first.token_s) - 1)
    return Answer(first.input_tokens, float(first.token_s[0]) - first.sent_s, gap_s)
