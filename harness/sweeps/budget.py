"""What a hosted API takes for a sweep: estimated before a cell, measured of it, and held below `engine.max_cost`."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from statistics import mean
from typing import Any

from harness.accuracy import Suite
from harness.config.schema import Config
from harness.config.workloads import Scenario
from harness.engines.limits import Meter, TokenPrice
from harness.gemm import GEMM
from harness.records.cell import Cell
from harness.records.store import Store
from harness.sweeps.estimate import UNKNOWN_ITEMS, what
from harness.sweeps.plan import Plan

PROMPT_TOKENS = 1000  # of an item, where no cell of the suite has been measured: a rule of thumb
Tokens = tuple[float, float]  # of prompts and of answers


@dataclass
class Budget:
    """`tokens(cell)` estimates a cell; `spent`: for this sweep, failed cells and warm-ups included, in the price's
    currency.
    """

    price: TokenPrice = field(default_factory=TokenPrice)
    max_cost: float | None = None
    tokens: Callable[[Cell], Tokens] = lambda cell: (0.0, 0.0)
    spent: float = 0.0

    def add(self, used: Meter) -> None:
        self.spent += self.price.cost(used.prompt_tokens, used.completion_tokens)

    def refusal(self, cell: Cell) -> str | None:
        """Why the cell must not be started."""
        wanted = self.price.cost(*self.tokens(cell))
        if self.max_cost is None or self.spent + wanted <= self.max_cost:
            return None
        money = self.price.currency
        return (
            f"not run: engine.max_cost={self.max_cost:g} {money}; {self.spent:.4g} are spent and this cell takes about "
            f"{wanted:.4g}; raise engine.max_cost, or ask for less"
        )

    def record(self, used: Meter) -> dict[str, Any]:
        """What a cell's record keeps of it."""
        kept: dict[str, Any] = {"usage": {name: getattr(used, name) for name in Meter.COUNTS}}
        if self.price.known:
            amount = self.price.cost(used.prompt_tokens, used.completion_tokens)
            kept["cost"] = {"amount": amount, **asdict(self.price)}
        return kept

    def words(self, cells: Iterable[Cell]) -> str | None:
        """For the plan; None without a price."""
        cells = list(cells)
        if not cells or not self.price.known:
            return None
        prompt, answer = (sum(part) for part in zip(*map(self.tokens, cells), strict=True))
        return (
            f"about {prompt:,.0f} prompt and at most {answer:,.0f} completion tokens: about "
            f"{self.price.cost(prompt, answer):.4g} {self.price.currency} ({self.price.source}, {self.price.date})"
        )


def budget(config: Config, plan: Plan, suites: dict[str, Suite], store: Store) -> Budget:
    price = config.engine.price
    if not price.known:
        return Budget()
    records = [store.record(cell.fingerprint) for cell in plan.cells if cell.fingerprint in store]
    costs = [*(record.cost for record in records), *(taken["cost"] for taken in store.spent())]
    spent = sum(cost["amount"] for cost in costs if cost and cost["currency"] == price.currency)
    return Budget(price, config.engine.max_cost, estimator(config, plan, suites, store), spent)


def estimator(config: Config, plan: Plan, suites: dict[str, Suite], store: Store) -> Callable[[Cell], Tokens]:
    """The mean of the stored cells of the same suite or load point; else what is asked for, answers in full length."""
    known: dict[str, list[dict[str, int]]] = {}
    for cell in plan.cells:
        usage = store.record(cell.fingerprint).usage if cell.fingerprint in store else None
        if usage:
            known.setdefault(what(cell), []).append(usage)

    def tokens(cell: Cell) -> Tokens:
        if seen := known.get(what(cell)):
            return mean(one["prompt_tokens"] for one in seen), mean(one["completion_tokens"] for one in seen)
        if cell.kind == "load":
            return load_tokens(config, cell)
        if cell.kind == GEMM:
            return 0.0, 0.0  # preflight says that an endpoint multiplies nothing for us
        suite = suites[cell.suite]
        if cell.kind == "judge":
            if config.judge.base_url:
                return 0.0, 0.0  # it has a price of its own
            asked = suite.judge_calls(config.data.root, config.judge, False)
            return asked.prompt_tokens, asked.completion_tokens
        items = suite.planned_items() or UNKNOWN_ITEMS
        return items * PROMPT_TOKENS, items * suite.answer_tokens()

    return tokens


def load_tokens(config: Config, cell: Cell) -> Tokens:
    """Of every request of the point; of a capacity search, of as many probes at its highest rate."""
    scenario: Scenario = config.scenarios[cell.scenario]
    requests = cell.point.requests
    if cell.point.profile == "capacity":
        search = config.load.capacity
        requests = search.probes * max(search.requests, round(search.duration_s * search.max_rps))
    message = scenario.prompt_tokens if scenario.turn_tokens is None else scenario.turn_tokens
    prompts = [
        scenario.prompt_tokens + turn * (scenario.output_tokens + message) for turn in range(scenario.turns)
    ]  # a later turn resends all that was said
    return requests * sum(prompts), requests * scenario.turns * scenario.output_tokens
