"""What a sweep says about its report and about no measurement: prices, attribution ladder, latency cut-offs, checks."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Price:
    """Of one GPU for an hour. `date` and `source` stand beside every number that comes from it."""

    per_gpu_hour: float
    currency: str
    date: str
    source: str


@dataclass(frozen=True)
class Step:
    """A rung of the attribution ladder: the variant that it leads to, and what it adds ("" where not said)."""

    variant: str
    adds: str = ""


@dataclass(frozen=True)
class Settings:
    price: Price | None = None
    attribution: tuple[Step, ...] = ()
    cutoffs_ms: dict[str, tuple[float, ...]] = field(default_factory=dict)  # {"itl_ms_p99": (20, 50), ...}


@dataclass(frozen=True)
class MetricCheck:
    """`metric` of analysis/scalars.py must be `value`, within `tolerance` (relative)."""

    variant: str
    metric: str
    value: float
    tolerance: float
    source: str


@dataclass(frozen=True)
class Checks:
    """What the sweep asks analysis/checks to evaluate. `schemes`: {variant: scheme of every linear layer};
    `of_each_variant`: gemm | telemetry | load."""

    metrics: tuple[MetricCheck, ...] = ()
    schemes: dict[str, str] = field(default_factory=dict)
    of_each_variant: tuple[str, ...] = ()


def read_checks(checks: dict[str, Any] | None) -> Checks:
    """From the manifest's `checks` (config.Checks); a sweep that was stored before it existed has none."""
    checks = checks or {}
    metrics = tuple(
        MetricCheck(
            str(entry["variant"]),
            str(entry["metric"]),
            float(entry["value"]),
            float(entry["tolerance"]),
            str(entry.get("source") or ""),
        )
        for entry in checks.get("metrics") or ()
    )
    return Checks(
        metrics,
        {variant: str(scheme) for variant, scheme in (checks.get("schemes") or {}).items()},
        tuple(name for name, wanted in checks.items() if wanted is True),
    )


def read_settings(report: dict[str, Any] | None) -> Settings:
    """From the manifest's `report` (config.Report); a sweep that was stored before it existed has none."""
    report = report or {}
    price = report.get("price") or {}
    steps = [Step(step["variant"], step.get("adds") or "") for step in report.get("attribution") or ()]
    cutoffs = {metric: tuple(sorted(map(float, limits))) for metric, limits in (report.get("cutoffs_ms") or {}).items()}
    return Settings(
        price=Price(
            float(price["per_gpu_hour"]),
            str(price.get("currency") or "USD"),
            str(price.get("date") or "no date given"),
            str(price.get("source") or "no source given"),
        )
        if price.get("per_gpu_hour")
        else None,
        attribution=tuple(steps),
        cutoffs_ms=cutoffs,
    )
