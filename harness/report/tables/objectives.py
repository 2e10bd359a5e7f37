"""The rate at which each objective of a scenario is met, and the load points at which it is."""

from harness.analysis import Findings
from harness.analysis.speed.objectives import SLO, Standing, objectives, standing
from harness.analysis.speed.performance import PointResult
from harness.analysis.speed.readings import Reading
from harness.report.tables.readings import HOW
from harness.report.tables.table import Table, Td, name_of, table
from harness.report.words import NONE, limit_name, rate, slo


def rates_table(findings: Findings) -> Table:
    """The highest request rate that meets the SLO and each tier, a column a variant; empty where there are no tiers."""
    study, rows = findings.study, []
    for scenario, facts in study.scenarios.items():
        for name, limits in objectives(facts).items() if facts.tiers else ():
            found = [_rate(findings, variant, scenario, name) for variant in study.variants]
            rows.append([scenario, Td(name, note=slo(limits)), *(_cell(one) for one in found)])
    heads = ["Scenario", "Objective", *(f">{study.label(variant)}" for variant in study.variants)]
    return table("Requests/s at each objective", heads, rows, HOW, group=0)


def met_table(findings: Findings) -> Table:
    """The load points at which each objective is met and missed."""
    study, rows = findings.study, []
    for scenario, facts in study.scenarios.items():
        for name, limits in objectives(facts).items():
            for variant in study.variants:
                points = [p for p in findings.points[variant, scenario] if p.profile != "capacity" and p.valid]
                found = [(point, standing(_values(point), limits)) for point in points]
                met = [point.point.label for point, one in found if one and _meets(point, one)]
                missed = [_missed(point, one) for point, one in found if one and not _meets(point, one)]
                texts = (", ".join(met) or NONE, ", ".join(missed) or NONE)
                rows.append([scenario, name, name_of(study, variant), *texts])
    heads = ["Scenario", "Objective", "Variant", "Met at", "Missed at (largest value over its limit)"]
    note = "Of fixed load points. A rate that the server did not serve is missed. Failed requests do not count as met."
    return table("Where each objective is met", heads, rows, note, group=0)


def _rate(findings: Findings, variant: str, scenario: str, name: str) -> Reading:
    if name == SLO:
        return findings.capacities[variant, scenario]
    return findings.tiers[variant, scenario, name]


def _cell(found: Reading) -> Td:
    return Td(rate(found), "" if found.value is not None else "muted", found.note)


def _values(point: PointResult) -> dict[str, float | None]:
    names = {name for run in point.runs for name in run.metrics}
    return {name: point.value(name) for name in names}


def _meets(point: PointResult, one: Standing) -> bool:
    return one.met and point.reached


def _missed(point: PointResult, one: Standing) -> str:
    if one.met:
        return f"{point.point.label} (rate not reached)"
    if one.worst.startswith("goodput"):
        return f"{point.point.label} ({100 * one.value:.1f} % of requests)"
    return f"{point.point.label} ({limit_name(one.worst)} {one.ratio:.2f}×)"
