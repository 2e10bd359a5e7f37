"""What a sweep says about its report and about no measurement: prices, attribution ladder, checks, what decides."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.records.fields import Stored


@dataclass(frozen=True)
class Price(Stored):
    """The price of one GPU for an hour. `date` and `source` are shown beside every number that comes from it."""

    per_gpu_hour: float
    currency: str = "USD"
    date: str = "no date given"
    source: str = "no source given"


@dataclass(frozen=True)
class Step(Stored):
    """A rung of the attribution ladder: the variant that it leads to, and what it adds ("" where not said)."""

    variant: str
    adds: str = ""


@dataclass(frozen=True)
class Settings:
    price: Price | None = None
    attribution: tuple[Step, ...] = ()
    cutoffs_ms: dict[str, tuple[float, ...]] = field(default_factory=dict)  # {"itl_ms_p99": (20, 50), ...}
    base_model: str | None = None  # hub id that the model cards name
    url: str | None = None  # where the report is published


@dataclass(frozen=True)
class MetricCheck(Stored):
    """`metric` of analysis/scalars.py must be `value`, within `tolerance` (relative)."""

    variant: str
    metric: str
    value: float
    tolerance: float
    source: str = ""


@dataclass(frozen=True)
class Checks:
    """What the sweep asks analysis/checks to evaluate. `schemes`: {variant: scheme of every linear layer};
    `of_each_variant`: gemm | telemetry | load."""

    metrics: tuple[MetricCheck, ...] = ()
    schemes: dict[str, str] = field(default_factory=dict)
    of_each_variant: tuple[str, ...] = ()


FORMER_OBJECTIVE = ("capacity", "latency", "throughput")  # of stores without decision.objective


@dataclass(frozen=True)
class Fidelity:
    """Upper limits of the distance to the baseline on a text; None: no limit."""

    perplexity_ratio: float | None = None
    kl_nats: float | None = None

    @property
    def decides(self) -> bool:
        return self.perplexity_ratio is not None or self.kl_nats is not None


@dataclass(frozen=True)
class DecisionSettings:
    """What the recommendation rests on. `suites` None: every suite that is scored item by item."""

    margin: float = 0.01  # non-inferiority margin on recovery
    suites: tuple[str, ...] | None = None
    fidelity: Fidelity = Fidelity()
    objective: tuple[str, ...] = FORMER_OBJECTIVE


def read_decision(decision: Mapping[str, Any], margin: float) -> DecisionSettings:
    """From the manifest's `decision` (config.Decision); `margin`: of a sweep that was stored before it existed."""
    suites, fidelity = decision.get("suites"), decision.get("fidelity") or {}
    objective = decision.get("objective") or FORMER_OBJECTIVE
    return DecisionSettings(
        margin=float(decision.get("margin", margin)),
        suites=None if suites is None else tuple(suites),
        fidelity=Fidelity(fidelity.get("perplexity_ratio"), fidelity.get("kl_nats")),
        objective=(objective,) if isinstance(objective, str) else tuple(objective),
    )


def read_checks(checks: Mapping[str, Any]) -> Checks:
    """From the manifest's `checks` (config.Checks); a sweep that was stored before it existed has none."""
    return Checks(
        metrics=tuple(map(MetricCheck.from_json, checks.get("metrics") or ())),
        schemes=dict(checks.get("schemes") or {}),
        of_each_variant=tuple(name for name, wanted in checks.items() if wanted is True),
    )


def read_settings(report: Mapping[str, Any]) -> Settings:
    """From the manifest's `report` (config.Report); a sweep that was stored before it existed has none."""
    price, cutoffs = report.get("price") or {}, report.get("cutoffs_ms") or {}
    return Settings(
        price=Price.from_json(price) if price.get("per_gpu_hour") else None,
        attribution=tuple(map(Step.from_json, report.get("attribution") or ())),
        cutoffs_ms={metric: tuple(sorted(map(float, limits))) for metric, limits in cutoffs.items()},
        base_model=report.get("base_model"),
        url=report.get("url"),
    )
