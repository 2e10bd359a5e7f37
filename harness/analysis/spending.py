"""What a study took from a hosted API: requests, tokens and money of its cells, summed. Prices are the records' own."""

from collections.abc import Iterator
from dataclasses import dataclass

from harness.analysis.study import Measured, Study


@dataclass(frozen=True)
class Spending:
    variant: str
    subject: str  # a suite or scenario
    cells: int
    requests: int
    prompt_tokens: int
    completion_tokens: int
    amount: float
    currency: str
    price: str  # "0.1 / 0.4 USD per million prompt / completion tokens (SOURCE, DATE)"


def spending(study: Study) -> list[Spending]:
    """One a variant, suite or scenario, and price; empty where nothing has a price. Failed cells are not in it."""
    paid: dict[tuple[str, str, str], list[Measured]] = {}
    for cell in study.measured:
        if cell.cost:
            key = (cell.cell.variant, cell.cell.suite or cell.cell.scenario or cell.cell.kind, price(cell.cost))
            paid.setdefault(key, []).append(cell)
    return list(_sums(paid))


def _sums(paid: dict[tuple[str, str, str], list[Measured]]) -> Iterator[Spending]:
    for (variant, subject, said), cells in paid.items():
        counts = [sum(one.usage[name] for one in cells) for name in ("requests", "prompt_tokens", "completion_tokens")]
        amount = sum(one.cost["amount"] for one in cells)
        yield Spending(variant, subject, len(cells), *counts, amount, cells[0].cost["currency"], said)


def price(cost: dict) -> str:
    prompt, answer = cost.get("per_million_prompt_tokens") or 0, cost.get("per_million_completion_tokens") or 0
    of = f"{prompt:g} / {answer:g} {cost['currency']} per million prompt / completion tokens"
    return f"{of} ({cost.get('source')}, {cost.get('date')})"
