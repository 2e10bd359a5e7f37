"""Everything that a report, MLflow and a gate say about a study, computed once. The same study, the same findings."""

from dataclasses import dataclass, replace

from harness.analysis.decision.pareto import Front, fronts, quality
from harness.analysis.decision.recommend import Recommendation, recommend
from harness.analysis.quality.accuracy import AverageRecovery, SuiteResult, suite_results
from harness.analysis.quality.agreement import Agreement, agreements
from harness.analysis.quality.choices import ChoiceDistance, choice_distances
from harness.analysis.quality.judge import WinRate, win_rates
from harness.analysis.quality.texts import TextDistance, text_distances
from harness.analysis.speed.attribution import Rung, rungs
from harness.analysis.speed.capacity import Gain, capacity, gain, with_error
from harness.analysis.speed.cost import Cost, costs
from harness.analysis.speed.cutoffs import METRICS, Envelope, envelope
from harness.analysis.speed.energy import Energy, energies
from harness.analysis.speed.gemm import Gemm, gemm
from harness.analysis.speed.performance import Against, PointResult, Points, against_baseline, ladder, load_points
from harness.analysis.speed.readings import Reading
from harness.analysis.speed.speedups import Speedups, speedups
from harness.analysis.statistics.intervals import Estimate
from harness.analysis.study import Study
from harness.analysis.validity import FlagGroup, Mark, emulated, flag_groups, marks


@dataclass(frozen=True)
class Findings:
    study: Study
    suites: dict[tuple[str, str], SuiteResult]  # (variant, suite)
    averages: dict[str, AverageRecovery]  # every variant but the baseline
    win_rates: dict[tuple[str, str], WinRate]  # (variant, suite)
    agreements: dict[tuple[str, str], Agreement]  # (variant, suite), not the baseline
    choice_distances: dict[tuple[str, str], ChoiceDistance]  # (variant, suite), not the baseline
    text_distances: dict[tuple[str, str], TextDistance]  # (variant, suite)
    points: dict[tuple[str, str], tuple[PointResult, ...]]  # (variant, scenario)
    against: dict[tuple[str, str], Against]  # (variant, scenario), not the baseline
    capacities: dict[tuple[str, str], Reading]  # (variant, scenario): highest rate that keeps the scenario's SLO
    gains: dict[tuple[str, str], Gain | None]  # (variant, scenario), not the baseline: capacity / the baseline's
    tiers: dict[
        tuple[str, str, str], Reading
    ]  # (variant, scenario, tier): highest rate that meets the tier, by the ladder
    speedups: dict[str, Speedups]  # every variant but the baseline: means over scenarios
    costs: dict[tuple[str, str], Cost]  # (variant, scenario); empty without a price
    energies: tuple[Energy, ...]  # load points whose GPUs were watched; empty without NVML
    rungs: tuple[Rung, ...]  # the attribution ladder; empty where the sweep has none
    envelopes: dict[tuple[str, str], Envelope]  # (scenario, metric of METRICS)
    fronts: tuple[Front, ...]
    recommendation: Recommendation | None  # which variant to ship; None where nothing is compared
    emulated: tuple[str, ...]  # variants whose kernels are emulated: speeds are not representative
    marks: tuple[Mark, ...]
    flags: tuple[FlagGroup, ...]
    gemm: Gemm | None = None  # of a study that timed the products of the linear layers

    @property
    def serves(self) -> bool:
        """False where nothing but products was to be measured: then there is nothing to say of serving."""
        return bool(self.study.suites or self.study.scenarios) or self.gemm is None

    @property
    def latency(self) -> dict[str, Estimate | None]:
        """Geometric mean over scenarios of the single-stream E2E speed-up."""
        return {name: found.latency for name, found in self.speedups.items()}

    @property
    def throughput(self) -> dict[str, Estimate | None]:
        return {name: found.throughput for name, found in self.speedups.items()}


def speed_against(findings: Findings, variant: str) -> Findings:
    """The findings with `variant` in the baseline's place for speed: `against`, `gains` and `speedups`."""
    study = replace(findings.study, baseline=variant)
    against = against_baseline(study, findings.points)
    gains = _gains(study, findings.capacities)
    means = speedups(study, findings.points, findings.capacities, gains)
    return replace(findings, study=study, against=against, gains=gains, speedups=means)


def _gains(study: Study, capacities: dict[tuple[str, str], Reading]) -> dict[tuple[str, str], Gain | None]:
    return {
        (name, scenario): gain(capacities.get((study.baseline, scenario)), capacities.get((name, scenario)))
        for name in study.compared
        for scenario in study.scenarios
    }


def _tiers(study: Study, points: Points) -> dict[tuple[str, str, str], Reading]:
    return {
        (name, scenario, tier): with_error(ladder(points[name, scenario]), limits)
        for name in study.variants
        for scenario, facts in study.scenarios.items()
        for tier, limits in facts.tiers.items()
    }


def analyse(study: Study) -> Findings:
    suites, averages = suite_results(study)
    rates = win_rates(study)
    points = load_points(study)
    against = against_baseline(study, points)
    capacities = {key: capacity(found, study.scenarios[key[1]].slo) for key, found in points.items()}
    gains = _gains(study, capacities)
    means, slow = speedups(study, points, capacities, gains), emulated(study)
    texts = text_distances(study)
    return Findings(
        study=study,
        suites=suites,
        averages=averages,
        win_rates=rates,
        agreements=agreements(study),
        choice_distances=choice_distances(study),
        text_distances=texts,
        points=points,
        against=against,
        capacities=capacities,
        gains=gains,
        tiers=_tiers(study, points),
        speedups=means,
        costs=costs(study, points, capacities),
        energies=energies(study, points),
        rungs=rungs(study, points, capacities),
        envelopes={(s, metric): envelope(study, points, s, metric) for s in study.scenarios for metric in METRICS},
        fronts=fronts(study, quality(study, averages, texts), means),
        recommendation=recommend(study, suites, rates, means, slow, texts),
        emulated=slow,
        marks=marks(study, suites, rates, averages),
        flags=flag_groups(study, suites),
        gemm=gemm(study),
    )
