"""The page of `python -m harness.compare`: the report's frame, colours and tables around one or more pairs."""

from dataclasses import dataclass, replace

from harness.analysis.comparison import Comparison
from harness.report.figures.changes import changes_figure
from harness.report.figures.figures import Figure, curve_figure
from harness.report.figures.style import styles
from harness.report.largest_change import largest_change
from harness.report.pages.frame import render
from harness.report.regression import Compared, regression
from harness.report.tables import comparison as tables
from harness.report.tables.changes import changes_table, pair_name
from harness.report.tables.performance import ladder_table
from harness.report.tables.provenance import engines_table, kernels_table
from harness.report.tables.table import Table
from harness.report.tables.validity import flags_table
from harness.report.verdicts import remarks, verdicts
from harness.report.words import BRACKETS, slo


def render_comparison(
    compared: Compared, gates: list[Table], verdict: str, failed: bool, command: str, version: str, strict: bool = False
) -> str:
    """`gates`: the table of each pair's checks."""
    pairs = [_pair(number, c, own) for number, ((c, _), own) in enumerate(zip(compared, gates, strict=True))]
    changes = changes_table(compared, strict)
    first = compared[0][0].study
    marks = {(mark.word, mark.reason): mark for comparison, _ in compared for mark in comparison.findings.marks}
    if len(compared) > 1:  # a label of one pair would be wrong above another
        labels = dict(zip(first.variants, ("A", "B"), strict=True))
    else:
        labels = {name: v.label for name, v in first.variants.items()}
    return render(
        "compare.html",
        title=f"{compared[0][0].a.place} against {compared[0][0].b.place}",
        looks=styles(first.variants, first.baseline),
        labels=labels,
        marks=marks.values(),
        pairs=pairs,
        places=_places([comparison for comparison, _ in compared]),
        conclusion=regression(compared, strict),
        largest=largest_change(compared),
        changes=changes,
        figure=changes_figure(compared, changes),
        brackets=BRACKETS,
        verdict=verdict,
        failed=failed,
        command=command,
        version=version,
    )


def _places(compared: list[Comparison]) -> list[tuple[str, str]]:
    """A and B of each pair; of pairs of the same two folders, the folders."""
    found = [(c.a.place, c.b.place) for c in compared]
    folders = {tuple(place.rpartition(":")[0] or place for place in pair) for pair in found}
    return [(a, b) for a, b in folders] if len(found) > 1 and len(folders) == 1 else found


@dataclass(frozen=True)
class ScenarioView:
    name: str
    figures: tuple[Figure, ...]
    slo: str


@dataclass(frozen=True)
class PairView:
    """What the page shows of a pair."""

    id: str
    title: str
    comparison: Comparison
    sentences: list[str]
    gates: Table
    differences: Table
    accuracy: Table
    load: Table
    capacity: Table
    products: Table
    scenarios: list[ScenarioView]
    flags: Table
    engines: Table
    kernels: Table


def _pair(position: int, comparison: Comparison, gates: Table) -> PairView:
    findings = comparison.findings
    said = verdicts(findings) if comparison.serves else []
    return PairView(
        id=f"pair-{position}",
        title=pair_name(comparison),
        comparison=comparison,
        sentences=[verdict.bare for verdict in said] + list(remarks(said)),
        gates=gates,
        differences=tables.differences_table(comparison),
        accuracy=tables.accuracy_table(comparison),
        load=tables.load_table(comparison),
        capacity=tables.capacity_table(comparison),
        products=tables.products_table(comparison),
        scenarios=[_scenario(position, number, comparison, name) for number, name in _drawn(comparison)],
        flags=flags_table(findings),
        engines=engines_table(findings),
        kernels=kernels_table(findings),
    )


def _drawn(comparison: Comparison) -> list[tuple[int, str]]:
    """Scenarios that have a rate ladder."""
    points = comparison.findings.points
    names = comparison.study.scenarios
    return [
        (number, name)
        for number, name in enumerate(names)
        if any(p.profile == "server" for word in comparison.study.variants for p in points[word, name])
    ]


def _scenario(position: int, number: int, comparison: Comparison, name: str) -> ScenarioView:
    findings = comparison.findings
    looks = styles(findings.study.variants, findings.study.baseline)
    figures: list[Figure] = []
    for latency in ("itl_ms", "ttft_ms"):
        id = f"{latency}-{position}-{number}"
        figure = curve_figure(findings, looks, name, latency, id, ladder_table(findings, name, latency))
        figures.append(replace(figure, title=f"{figure.title}, {name}"))
    return ScenarioView(name, tuple(figures), slo(findings.study.scenarios[name].slo))
