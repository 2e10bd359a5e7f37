"""A sweep's settings for its report, checked before anything runs, and what of the variants the report must know."""

import re

from harness.config import Config
from harness.errors import ConfigError, did_you_mean

PARTS = ("p50", "p90", "p95", "p99")
LATENCIES = tuple(f"{time}_ms_{part}" for time in ("itl", "ttft", "e2e") for part in PARTS)


def check_report(config: Config, known: list[str]) -> None:
    """`known`: variants of conf/variant, which a sweep may name while the command line has left them out."""
    price = config.report.price
    if price.per_gpu_hour is not None:
        if price.per_gpu_hour <= 0:
            raise ConfigError(f"report.price.per_gpu_hour={price.per_gpu_hour:g} must be above 0")
        if not price.source or not re.fullmatch(r"\d{4}-\d{2}-\d{2}", price.date or ""):
            raise ConfigError(
                "report.price.per_gpu_hour is set; set report.price.date=YYYY-MM-DD and report.price.source= too: "
                "a price without its day and its source cannot be checked"
            )
    variants = [*config.variants, *known]
    for step in config.report.attribution:
        if step.variant not in variants:
            raise ConfigError(f"report.attribution: no variant {step.variant!r}{did_you_mean(step.variant, variants)}")
    for metric, limits in config.report.cutoffs_ms.items():
        if metric not in LATENCIES:
            raise ConfigError(f"report.cutoffs_ms: no latency {metric!r}{did_you_mean(metric, list(LATENCIES))}")
        numbers = isinstance(limits, list) and all(isinstance(n, int | float) and n > 0 for n in limits)
        if not numbers:
            raise ConfigError(f"report.cutoffs_ms.{metric}={limits!r}: wants a list of milliseconds above 0: [20, 50]")
    for name, variant in config.variants.items():
        head = variant.deployment_of
        if head == name or (head is not None and head not in variants):
            raise ConfigError(f"variants.{name}.deployment_of: no other variant {head!r}{did_you_mean(head, variants)}")
        if head in config.variants and config.variants[head].deployment_of:
            raise ConfigError(
                f"variants.{name}.deployment_of: {head} is itself a deployment of "
                f"{config.variants[head].deployment_of}; name that one"
            )
        if variant.gpus is not None and variant.gpus < 1:
            raise ConfigError(f"variants.{name}.gpus must be at least 1")
