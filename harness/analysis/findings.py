"""Everything that a report, MLflow and a gate say about a study, computed once. The same study, the same findings."""

from dataclasses import dataclass

from harness.analysis import pareto
from harness.analysis.accuracy import AverageRecovery, SuiteResult, suite_results
from harness.analysis.agreement import Agreement, agreements
from harness.analysis.distance import ChoiceDistance, TextDistance, choice_distances, text_distances
from harness.analysis.intervals import Estimate
from harness.analysis.judge import WinRate, win_rates
from harness.analysis.performance import Against, LoadPoint, against_baseline, at, geometric_mean, ladder, load_points
from harness.analysis.readings import INTERPOLATED, MEASURED, Reading, rate_within, searched
from harness.analysis.study import Study
from harness.analysis.validity import FlagGroup, Mark, flag_groups, marks


@dataclass(frozen=True)
class Front:
    """Average recovery (y) against a performance gain (x), both relative to the baseline, which stands at (1, 1)."""

    name: str
    title: str
    axis: str
    points: dict[str, tuple[Estimate, Estimate]]
    front: tuple[str, ...]  # by rising x
    dominated: dict[str, list[str]]
    absent: dict[str, str]  # variants that cannot be placed, and why


@dataclass(frozen=True)
class Findings:
    study: Study
    suites: dict[tuple[str, str], SuiteResult]  # (variant, suite)
    averages: dict[str, AverageRecovery]  # every variant but the baseline
    win_rates: dict[tuple[str, str], WinRate]  # (variant, suite)
    agreements: dict[tuple[str, str], Agreement]  # (variant, suite), not the baseline
    choice_distances: dict[tuple[str, str], ChoiceDistance]  # (variant, suite), not the baseline
    text_distances: dict[tuple[str, str], TextDistance]  # (variant, suite)
    points: dict[tuple[str, str], tuple[LoadPoint, ...]]  # (variant, scenario)
    against: dict[tuple[str, str], Against]  # (variant, scenario), not the baseline
    capacities: dict[tuple[str, str], Reading]  # (variant, scenario): highest rate that keeps the scenario's SLO
    latency: dict[str, Estimate | None]  # geometric mean over scenarios of the single-stream E2E speed-up
    throughput: dict[str, Estimate | None]  # the same of the throughput gain
    fronts: tuple[Front, ...]
    marks: tuple[Mark, ...]
    flags: tuple[FlagGroup, ...]


def analyse(study: Study) -> Findings:
    suites, averages = suite_results(study)
    rates = win_rates(study)
    points = load_points(study)
    against = against_baseline(study, points)
    latency = {name: _mean_speedup(study, points, against, name) for name in study.compared}
    throughput = {name: _mean_throughput(study, points, against, name) for name in study.compared}
    return Findings(
        study=study,
        suites=suites,
        averages=averages,
        win_rates=rates,
        agreements=agreements(study),
        choice_distances=choice_distances(study),
        text_distances=text_distances(study),
        points=points,
        against=against,
        capacities={key: _capacity(found, study.scenarios[key[1]].slo) for key, found in points.items()},
        latency=latency,
        throughput=throughput,
        fronts=(
            _front(study, ("latency", "single-stream latency", "single-stream speed-up"), averages, latency),
            _front(study, ("throughput", "throughput", "throughput gain"), averages, throughput),
        ),
        marks=marks(study, suites, rates),
        flags=flag_groups(study, suites),
    )


def _capacity(points: tuple[LoadPoint, ...], slo: dict[str, float]) -> Reading:
    """Searched for where the sweep did that, else read off the QPS ladder."""
    return searched(at(points, "capacity")) or rate_within(ladder(points), slo)


def _scenarios_with(study: Study, points: dict, profile: str) -> list[str]:
    """Scenarios in which the baseline has a valid point of the profile: the ones a variant is compared on."""
    found = ((scenario, at(points.get((study.baseline, scenario), ()), profile)) for scenario in study.scenarios)
    return [scenario for scenario, point in found if point is not None and point.valid]


def _mean_speedup(study: Study, points: dict, against: dict[tuple[str, str], Against], name: str) -> Estimate | None:
    parts = [against[name, scenario] for scenario in _scenarios_with(study, points, "single_stream")]
    if not parts or any("e2e_ms_p50" not in part.speedups for part in parts):
        return None
    draws = [part.draws["e2e_ms_p50"] for part in parts if "e2e_ms_p50" in part.draws]
    return geometric_mean([part.speedups["e2e_ms_p50"] for part in parts], draws)


def _mean_throughput(study: Study, points: dict, against: dict[tuple[str, str], Against], name: str):
    parts = [against[name, scenario].throughput for scenario in _scenarios_with(study, points, "throughput")]
    return geometric_mean(parts) if parts and None not in parts else None


def _front(study: Study, names: tuple[str, str, str], averages: dict, gains: dict[str, Estimate | None]) -> Front:
    placed = {study.baseline: (Estimate(1.0), Estimate(1.0))} if study.baseline in study.variants else {}
    absent = {}
    for variant in study.compared:
        average, gain = averages[variant], gains[variant]
        if average.recovery is None:
            absent[variant] = f"no average recovery: {average.reason}"
        elif gain is None:
            absent[variant] = f"no {names[1]} to compare with the baseline's in every scenario"
        else:
            placed[variant] = (gain, average.recovery)
    values = {variant: (x.value, y.value) for variant, (x, y) in placed.items()}
    return Front(*names, placed, tuple(pareto.front(values)), pareto.dominated(values), absent)


def capacity_gain(findings: Findings, variant: str, scenario: str) -> tuple[float, bool] | None:
    """(capacity / the baseline's, True if it is a lower bound); None where the data do not give the ratio."""
    base = findings.capacities.get((findings.study.baseline, scenario))
    own = findings.capacities.get((variant, scenario))
    if base is None or own is None or base.status not in (MEASURED, INTERPOLATED) or not base.value or not own.value:
        return None
    return own.value / base.value, own.status not in (MEASURED, INTERPOLATED)
