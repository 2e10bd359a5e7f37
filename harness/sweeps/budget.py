"""What a hosted API takes for a sweep: estimated before a cell, measured of it, and held below `engine.max_cost`."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from statistics import mean

from harness.engines.limits import Meter, TokenPrice
from harness.records.cell import Cell
from harness.records.store import Store
from harness.records.usage import Cost, Spent, Usage
from harness.sweeps.estimates.phases import subject
from harness.sweeps.kinds import KINDS
from harness.sweeps.kinds.contract import Tokens
from harness.sweeps.plan import Plan
from harness.sweeps.prepare import Prepared


@dataclass
class Budget:
    """`tokens(cell)` estimates a cell; `spent`: for this sweep, failed cells and warm-ups included, in the price's
    currency.
    """

    price: TokenPrice = field(default_factory=TokenPrice)
    max_cost: float | None = None
    tokens: Callable[[Cell], Tokens] = lambda cell: (0.0, 0.0)
    spent: float = 0.0
    prices: Mapping[str, TokenPrice] = field(default_factory=dict)  # of variants that have another

    def price_of(self, variant: str | None) -> TokenPrice:
        return self.prices.get(variant or "", self.price)

    def add(self, used: Meter, variant: str | None = None) -> None:
        self.spent += self.price_of(variant).cost(used.prompt_tokens, used.completion_tokens)

    def refusal(self, cell: Cell) -> str | None:
        """Why the cell must not be started."""
        price = self.price_of(cell.variant)
        wanted = price.cost(*self.tokens(cell))
        if self.max_cost is None or self.spent + wanted <= self.max_cost:
            return None
        money = price.currency
        return (
            f"not run: engine.max_cost={self.max_cost:g} {money}; {self.spent:.4g} are spent and this cell takes about "
            f"{wanted:.4g}; raise engine.max_cost, or ask for less"
        )

    def record(self, used: Meter, variant: str | None = None) -> Spent:
        """Return what a cell's record keeps of it."""
        price = self.price_of(variant)
        if not price.known:
            return Spent(usage=used.usage)
        amount = price.cost(used.prompt_tokens, used.completion_tokens)
        return Spent(usage=used.usage, cost=Cost(amount=amount, **asdict(price)))

    def words(self, cells: Iterable[Cell]) -> str | None:
        """For the plan; None without a price."""
        cells = list(cells)
        prices = [self.price_of(cell.variant) for cell in cells]
        known = [price for price in prices if price.known]
        if not known:
            return None
        tokens = [self.tokens(cell) for cell in cells]
        prompt, answer = (sum(part) for part in zip(*tokens, strict=True))
        cost = sum(price.cost(*each) for price, each in zip(prices, tokens, strict=True))
        sources = "; ".join(dict.fromkeys(f"{price.source}, {price.date}" for price in known))
        return (
            f"about {prompt:,.0f} prompt and at most {answer:,.0f} completion tokens: about "
            f"{cost:.4g} {known[0].currency} ({sources})"
        )


def budget(prepared: Prepared, plan: Plan, store: Store) -> Budget:
    price = prepared.engine.price
    prices = {name: prepared.engine.price_of(name) for name in prepared.config.variants}
    known = [one for one in (price, *prices.values()) if one.known]
    if not known:
        return Budget()
    records = [store.record(cell.fingerprint) for cell in plan.cells if cell.fingerprint in store]
    costs = [*(record.cost for record in records), *(taken.cost for taken in store.spent())]
    spent = sum(cost.amount for cost in costs if cost and cost.currency == known[0].currency)
    return Budget(price, prepared.engine.max_cost, estimator(prepared, plan, store), spent, prices)


def estimator(prepared: Prepared, plan: Plan, store: Store) -> Callable[[Cell], Tokens]:
    """The mean of the stored cells of the same suite or load point; else what is asked for, answers in full length."""
    known: dict[str, list[Usage]] = {}
    for cell in plan.cells:
        usage = store.record(cell.fingerprint).usage if cell.fingerprint in store else None
        if usage:
            known.setdefault(subject(cell), []).append(usage)

    def tokens(cell: Cell) -> Tokens:
        if seen := known.get(subject(cell)):
            return mean(one.prompt_tokens for one in seen), mean(one.completion_tokens for one in seen)
        return KINDS[cell.kind].tokens(cell, prepared)

    return tokens
