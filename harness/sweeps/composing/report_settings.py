"""A sweep's settings for its report, checked before anything runs, and what of the variants the report must know."""

import math
import re
from collections.abc import Callable

from harness.config.schema import Config
from harness.errors import ConfigError, did_you_mean
from harness.records.metrics import QUANTILES, SHOWN_LATENCIES, spread

SECTIONS = (  # of the numbers of analysis/scalars.py, beside the scenarios' names
    *("accuracy", "recovery", "difference", "win_rate", "win_rate_difference", "agreement", "kl", "top1_agreement"),
    *("perplexity", "perplexity_ratio", "speedup"),
)
RELATIVE = "speedup/NAME and a scenario's speed-ups and gains"  # of these numbers, those over another variant
LATENCIES = spread(SHOWN_LATENCIES, QUANTILES)


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
    if (base := config.report.base_model) is not None and not re.fullmatch(r"[\w.-]+/[\w.-]+", base):
        raise ConfigError(f"report.base_model={base!r}: a hub id is ORG/NAME")
    if (url := config.report.url) is not None and not re.fullmatch(r"https?://\S+", url):
        raise ConfigError(f"report.url={url!r}: an address begins with https://")
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
        deployed = variant.deployment_of
        if deployed == name or (deployed is not None and deployed not in variants):
            raise ConfigError(
                f"variants.{name}.deployment_of: no other variant {deployed!r}{did_you_mean(deployed, variants)}"
            )
        if deployed in config.variants and config.variants[deployed].deployment_of:
            raise ConfigError(
                f"variants.{name}.deployment_of: {deployed} is itself a deployment of "
                f"{config.variants[deployed].deployment_of}; name that one"
            )
        if variant.gpus is not None and variant.gpus < 1:
            raise ConfigError(f"variants.{name}.gpus must be at least 1")


def is_speed_gain(metric: str | None) -> bool:
    """Whether a number of analysis/scalars.py is a speed relative to the baseline's."""
    section, _, name = (metric or "").partition("/")
    if section == "speedup":
        return not name.startswith("gemm")
    return name.endswith(("_speedup_single_stream", "_gain_throughput", "max_qps_at_slo_gain"))


def check_published(config: Config, options: Callable[[str], list[str]]) -> None:
    """`options(group)`: the names in conf/, which a sweep may speak of while the command line has left them out."""
    for number, entry in enumerate(config.published):
        where = f"published[{number}]"
        if not entry.source.strip():
            raise ConfigError(f"{where}.source is empty: name the title, its table or section, and the year")
        if (entry.suite is None) == (entry.metric is None):
            raise ConfigError(f"{where}: give either suite (its score) or metric (as speedup/e2e_single_stream)")
        _one_of(f"{where}.variant", entry.variant, [*config.variants, *options("variant")])
        if entry.suite is not None:
            _one_of(f"{where}.suite", entry.suite, [*config.suites, *options("suite")])
        if entry.metric is not None:
            section = entry.metric.partition("/")[0]
            _one_of(f"{where}.metric", section, [*SECTIONS, *config.scenarios, *options("scenario")])
        if entry.against is not None:
            _one_of(f"{where}.against", entry.against, [*config.variants, *options("variant")])
            if entry.against == entry.variant:
                raise ConfigError(f"{where}.against is its own variant, {entry.variant}; name another, or leave it out")
            if not is_speed_gain(entry.metric):
                raise ConfigError(
                    f"{where}.against={entry.against}: {entry.metric or entry.suite} is no speed-up; only {RELATIVE} "
                    "can be over another variant than the baseline"
                )


def check_checks(config: Config, options: Callable[[str], list[str]]) -> None:
    """`options(group)`: as in `check_published`."""
    for number, entry in enumerate(config.checks.metrics):
        where = f"checks.metrics[{number}]"
        if not entry.source.strip():
            raise ConfigError(f"{where}.source is empty: name the engine, version, machine and date")
        if entry.value == 0 or not math.isfinite(entry.value):
            raise ConfigError(f"{where}.value={entry.value:g}: the tolerance is relative; set a value other than 0")
        if not 0 <= entry.tolerance < 1:
            raise ConfigError(f"{where}.tolerance={entry.tolerance:g} is relative: at least 0, below 1; 0.01 is 1 %")
        _one_of(f"{where}.variant", entry.variant, [*config.variants, *options("variant")])
        section = entry.metric.partition("/")[0]
        _one_of(f"{where}.metric", section, [*SECTIONS, *config.scenarios, *options("scenario")])
    for variant in config.checks.schemes:
        _one_of("checks.schemes", variant, [*config.variants, *options("variant")])
    if config.checks.gemm and not config.gemm.batch_sizes:
        raise ConfigError("checks.gemm is set and gemm.batch_sizes is empty; set batch sizes, or checks.gemm=false")
    for name in ("load", "telemetry"):
        if getattr(config.checks, name) and not config.scenarios:
            raise ConfigError(f"checks.{name} is set and there is no scenario; add one, or set checks.{name}=false")


def _one_of(where: str, name: str, known: list[str]) -> None:
    if name not in known:
        raise ConfigError(f"{where}: no {name!r}{did_you_mean(name, sorted(set(known)))}")
