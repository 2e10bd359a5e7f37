"""What a study took from a hosted API: requests, tokens and money of its cells, summed. Prices are the records' own."""

from collections.abc import Iterator
from dataclasses import dataclass

from harness.analysis.study import Study
from harness.records.usage import Cost, Usage

BESIDE = "preflight, warm-ups and failed cells, of every run"


@dataclass(frozen=True)
class Spending:
    """`variant`, `cells`: None for what belongs to no record."""

    variant: str | None
    subject: str  # a suite, a scenario, or BESIDE
    cells: int | None
    requests: int
    prompt_tokens: int
    completion_tokens: int
    amount: float
    currency: str
    price: str  # "0.1 / 0.4 USD per million prompt / completion tokens (SOURCE, DATE)"


def spending(study: Study) -> list[Spending]:
    """One a variant, suite or scenario, and price; what no record holds comes last. Empty where nothing has a price."""
    paid: dict[tuple[str | None, str, str], list[tuple[Usage, Cost]]] = {}
    for cell in study.measured:
        if cell.cost:
            key = (cell.cell.variant, cell.cell.subject, price(cell.cost))
            paid.setdefault(key, []).append((cell.usage, cell.cost))
    for taken in study.spent:
        paid.setdefault((None, BESIDE, price(taken.cost)), []).append((taken.usage, taken.cost))
    return list(_sums(paid))


def _sums(paid: dict[tuple[str | None, str, str], list[tuple[Usage, Cost]]]) -> Iterator[Spending]:
    for (variant, subject, said), taken in paid.items():
        yield Spending(
            variant,
            subject,
            cells=None if variant is None else len(taken),
            requests=sum(usage.requests for usage, _ in taken),
            prompt_tokens=sum(usage.prompt_tokens for usage, _ in taken),
            completion_tokens=sum(usage.completion_tokens for usage, _ in taken),
            amount=sum(cost.amount for _, cost in taken),
            currency=taken[0][1].currency,
            price=said,
        )


def price(cost: Cost) -> str:
    prompt, answer = cost.per_million_prompt_tokens or 0, cost.per_million_completion_tokens or 0
    of = f"{prompt:g} / {answer:g} {cost.currency} per million prompt / completion tokens"
    return f"{of} ({cost.source}, {cost.date})"
