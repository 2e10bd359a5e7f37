"""What a variant's numbers are called in MLflow, whose pages sort by name and open one section a first part.

The numbers are those of analysis/scalars.py (summary.json has the same). A name without a scenario stays as it is:
``accuracy/mmlu``, ``recovery/average``. The others are gathered by what they say, so that the sections are in the
order accuracy, capacity, ITL, recovery, and the long tail of each scenario comes after them:

    chat_512_256/max_qps_at_slo         capacity/chat_512_256_max_qps_at_slo
    chat_512_256/itl_ms_p99_at_qps_4    itl_at_qps/chat_512_256_itl_ms_p99_at_qps_04    (padded: 4 sorts before 16)
    chat_512_256/energy_power_w_at_qps_4    energy/chat_512_256_power_w_at_qps_04
    chat_512_256/anything_else          serving_chat_512_256/anything_else

A latency ladder is a series as well, ``itl_by_qps/chat_512_256_p99_ms``, its step the offered rate, in 1/100 s⁻¹ where
a rate of the scenario is not whole (steps are integers). ``served_qps/chat_512_256`` has the true rates of those steps.
"""

import math
import re
from zlib import crc32

from harness.analysis import Findings
from harness.analysis.scalars import by_rate, rates, scalars
from harness.analysis.speed.performance import ladder

LADDERS = ("itl", "ttft")
PARTS = ("p50", "p99")
NAME_CHARS = 250  # MLflow's limit

Metrics = dict[tuple[str, int], float]  # by (name, step)


def metrics(findings: Findings, variant: str) -> Metrics:
    """The scalars at step 0, the latency ladders by rate; nothing that is not finite."""
    found = {(name, 0): value for name, value in _scalars(findings, variant).items()}
    for scenario in findings.study.scenarios:
        found |= _series(findings, variant, scenario)
    return {key: float(value) for key, value in found.items() if math.isfinite(value)}


def _scalars(findings: Findings, variant: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, value in scalars(findings, variant).items():
        mapped = metric_name(_section(findings, name))
        if mapped in found:  # two names that differ only in characters that MLflow refuses
            mapped = f"{mapped[: NAME_CHARS - 9]}_{crc32(name.encode()):08x}"
        found[mapped] = value
    return found


def _section(findings: Findings, name: str) -> str:
    scenario = next((s for s in findings.study.scenarios if name.startswith(f"{s}/")), None)
    if scenario is None:
        return name
    metric = name.removeprefix(f"{scenario}/")
    if metric.startswith("max_qps_at_slo"):
        return f"capacity/{_flat(scenario)}_{metric}"
    metric = re.sub(r"(?<=_at_qps_)[\d.]+$", lambda rate: _padded(rate[0], rates(findings, scenario)), metric)
    if "_at_qps_" in metric and metric.startswith("itl_"):
        return f"itl_at_qps/{_flat(scenario)}_{metric}"
    if metric.startswith("energy_"):
        return f"energy/{_flat(scenario)}_{metric.removeprefix('energy_')}"
    return f"serving_{_flat(scenario)}/{metric}"


def _padded(rate: str, offered: list[float]) -> str:
    whole, dot, part = rate.partition(".")
    return f"{whole.zfill(len(str(int(max(offered, default=0)))))}{dot}{part}"


def _series(findings: Findings, variant: str, scenario: str) -> Metrics:
    whole = all(rate == int(rate) for rate in rates(findings, scenario))
    scale = 1 if whole else 100
    found: Metrics = {}
    for latency in LADDERS:
        for part in PARTS:
            name = ladder_name(scenario, latency, part)
            for point, value in by_rate(findings, variant, scenario, f"{latency}_ms_{part}"):
                if point.rate_rps is not None:
                    found[name, round(scale * point.rate_rps)] = value
    for point in ladder(findings.points[variant, scenario]):
        if point.valid and point.rate_rps is not None and point.served_rps is not None:
            found[served_name(scenario), round(scale * point.rate_rps)] = point.served_rps
    return found


def ladder_name(scenario: str, latency: str, part: str) -> str:
    return metric_name(f"{latency}_by_qps/{_flat(scenario)}_{part}_ms")


def served_name(scenario: str) -> str:
    return metric_name(f"served_qps/{_flat(scenario)}")


def _flat(scenario: str) -> str:
    return scenario.replace("/", "_")


def metric_name(name: str) -> str:
    """The characters that MLflow allows, without what it reads as a path: the first slash makes a section."""
    name = re.sub(r"[^A-Za-z0-9_\-. :/]", "_", name)
    return "/".join(part for part in name.split("/") if part.strip(". "))[:NAME_CHARS]
