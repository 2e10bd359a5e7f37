"""A variant's results as flat numbers, ``section/name``: for MLflow, summary.json and published figures.

Only numbers that may be compared are in it: nothing from invalid cells, no win rate of a judge that is no better than
chance. Intervals are beside them as `_low` and `_high`.
"""

from harness.analysis.findings import Findings
from harness.analysis.quality.choices import ChoiceDistance
from harness.analysis.quality.texts import TextDistance
from harness.analysis.speed.capacity import estimate
from harness.analysis.speed.performance import PointResult, at, ladder
from harness.analysis.speed.readings import latency_at_rate
from harness.analysis.statistics.intervals import Estimate
from harness.records.metrics import spread

NAMED = spread(("ttft_ms", "itl_ms", "e2e_ms"), ("p50", "p99"))


def scalars(findings: Findings, variant: str) -> dict[str, float]:
    found = _accuracy(findings, variant)
    if means := findings.speedups.get(variant):
        _put(found, "speedup/e2e_single_stream", means.latency)
        _put(found, "speedup/output_tok_per_s_throughput", means.throughput)
        _put(found, "speedup/max_qps_at_slo", means.capacity)
    if findings.gemm and variant in findings.gemm.means:
        _put(found, "speedup/gemm", findings.gemm.means[variant])
        _put(found, "speedup/gemm_highest", findings.gemm.highest[variant][1])
    for scenario in findings.study.scenarios:
        found |= _performance(findings, variant, scenario)
    return found


def _accuracy(findings: Findings, variant: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for (name, suite), result in findings.suites.items():
        if name != variant or not result.valid:
            continue
        _put(found, f"accuracy/{suite}", result.score)
        if result.comparison:
            _put(found, f"recovery/{suite}", result.comparison.recovery)
            _put(found, f"difference/{suite}", result.comparison.difference)
    if variant in findings.study.forms:
        _put(found, "recovery/average", findings.averages[variant].recovery)
    for (name, suite), rate in findings.win_rates.items():
        if name == variant:
            _put(found, f"win_rate/{suite}", rate.win_rate)
            _put(found, f"win_rate_difference/{suite}", rate.difference)
    return found | _fidelity(findings, variant)


def _fidelity(findings: Findings, variant: str) -> dict[str, float]:
    """To the baseline: agreement of greedy outputs, KL divergence in nats (of texts a lower bound), perplexity."""
    found: dict[str, float] = {}
    for (name, suite), agreement in findings.agreements.items():
        if name == variant and agreement.same:
            _put(found, f"agreement/{suite}_exact", agreement.same.exact)
            _put(found, f"agreement/{suite}_prefix", agreement.same.prefix)
    distances: list[tuple[tuple[str, str], ChoiceDistance | TextDistance]] = [
        *findings.choice_distances.items(),
        *findings.text_distances.items(),
    ]
    for (name, suite), distance in distances:
        if name == variant and (gap := distance.gap):
            _put(found, f"kl/{suite}", gap.kl)
            _put(found, f"top1_agreement/{suite}", gap.top1)
    for (name, suite), text in findings.text_distances.items():
        if name == variant:
            _put(found, f"perplexity/{suite}", text.perplexity)
            _put(found, f"perplexity_ratio/{suite}", text.gap.ratio if text.gap else None)
    return found


def _performance(findings: Findings, variant: str, scenario: str) -> dict[str, float]:
    points = findings.points[variant, scenario]
    found: dict[str, float] = {}
    single, throughput = at(points, "single_stream"), at(points, "throughput")
    if single and single.valid:
        for metric in NAMED:
            _value(found, f"{scenario}/{metric}_single_stream", single.value(metric))
    if throughput and throughput.valid:
        for metric in ("output_tok_per_s", "total_tok_per_s", "achieved_rps"):
            _value(found, f"{scenario}/{metric}_throughput", throughput.value(metric))
    for rate in rates(findings, scenario):
        for metric in NAMED:
            _value(found, f"{scenario}/{metric}_at_qps_{rate:g}", latency_at_rate(ladder(points), metric, rate).value)
    capacity = findings.capacities[variant, scenario]
    _put(found, f"{scenario}/max_qps_at_slo", estimate(capacity))
    _value(found, f"{scenario}/max_qps_at_slo", capacity.value)
    if against := findings.against.get((variant, scenario)):
        for metric, faster in against.speedups.items():
            _put(found, f"{scenario}/{metric.removesuffix('_ms_p50')}_speedup_single_stream", faster)
        _put(found, f"{scenario}/output_tok_per_s_gain_throughput", against.throughput)
    if gain := findings.gains.get((variant, scenario)):
        _put(found, f"{scenario}/max_qps_at_slo_gain", gain.estimate)
    for used in findings.energies:
        if (used.point.variant, used.point.scenario) == (variant, scenario) and used.point.valid:
            where = used.point.point.metric_suffix
            _value(found, f"{scenario}/energy_j_per_output_token_{where}", used.j_per_output_token)
            _value(found, f"{scenario}/energy_power_w_{where}", used.power_w_mean)
            _put(found, f"{scenario}/energy_output_tok_per_j_gain_{where}", used.gain)
    if cost := findings.costs.get((variant, scenario)):
        _put(found, f"{scenario}/cost_per_million_output_tokens", cost.per_million_output)
    return found


def rates(findings: Findings, scenario: str) -> list[float]:
    """Every rate that was offered to any variant in a scenario."""
    found = {p.rate_rps for (_, name), ps in findings.points.items() if name == scenario for p in ladder(ps)}
    return sorted(rate for rate in found if rate is not None)


def by_rate(findings: Findings, variant: str, scenario: str, metric: str) -> list[tuple[PointResult, float]]:
    """The valid points of the rate ladder that have the metric, upwards."""
    valid = (p for p in ladder(findings.points[variant, scenario]) if p.valid and p.rate_rps is not None)
    return [(point, value) for point in valid if (value := point.value(metric)) is not None]


def _value(found: dict[str, float], name: str, value: float | None) -> None:
    if value is not None:
        found[name] = value


def _put(found: dict[str, float], name: str, estimate: Estimate | None) -> None:
    if estimate is None:
        return
    found[name] = estimate.value
    _value(found, f"{name}_low", estimate.low)
    _value(found, f"{name}_high", estimate.high)
