"""The first screen's table: a row for each variant, at most six numbers, all against the baseline."""

from collections.abc import Callable
from dataclasses import replace
from math import exp, fsum, log

from harness.analysis import Findings
from harness.analysis.quality.texts import perplexity_ratios
from harness.analysis.statistics.intervals import Estimate
from harness.report.tables.table import Table, Td, name_of, table
from harness.report.words import NONE, bounded_ratio, number, percent, perplexity_ratio, size, times

MOST = 6  # numbers of a variant
THROUGHPUT = "Throughput"
CAPACITY = "Requests at the SLO"
Column = tuple[str, Callable[[Findings, str], Td | None]]  # its head, and what it says of a variant


def glance_table(findings: Findings) -> Table:
    """The columns that the study has numbers for; empty where nothing is compared."""
    study = findings.study
    chosen = [(head, cell) for head, cell in COLUMNS if any(cell(findings, name) for name in study.compared)]
    if len(chosen) > MOST:  # requests at the SLO say what throughput says, and more
        chosen = [(head, cell) for head, cell in chosen if head != THROUGHPUT]
    rows = [
        [name_of(study, name), *(cell(findings, name) or _none(findings, name) for _, cell in chosen)]
        for name in study.variants
    ]
    scenarios = _some_scenarios(findings) if any(head == CAPACITY for head, _ in chosen) else ""
    heads = ["Variant", *(f">{head}" for head, _ in chosen)]
    note = f"{CAPACITY}: in {scenarios}." if scenarios else ""
    return table("Variants at a glance", heads, rows if chosen else [], note)


def _some_scenarios(findings: Findings) -> str:
    """Name the scenarios that the ratio of capacities is of, where it is not of all."""
    of = next((s.capacity_scenarios for s in findings.speedups.values() if s.capacity_scenarios), ())
    every = len(findings.study.scenarios)
    if not of or len(of) == every:
        return ""
    return of[0] if len(of) == 1 else f"{len(of)} of {every} scenarios"


def _none(findings: Findings, name: str) -> Td:
    return Td("baseline" if name == findings.study.baseline else NONE, "muted")


def _ratio(estimate: Estimate | None, show: Callable[[Estimate | None], str] = times) -> Td | None:
    """The number, its interval beneath."""
    if estimate is None:
        return None
    value, _, interval = show(estimate).partition(" [")
    return Td(value, note=f"[{interval}" if interval else "")


def _recovery(findings: Findings, name: str) -> Td | None:
    """Where no suite distinguishes variants a mark says so, in place of a column."""
    average = findings.averages.get(name)
    return _ratio(average.recovery, percent) if average else None


def _perplexity(findings: Findings, name: str) -> Td | None:
    return _ratio(perplexity_ratios(findings.text_distances).get(name), perplexity_ratio)


def _speed(measure: str) -> Callable[[Findings, str], Td | None]:
    def cell(findings: Findings, name: str) -> Td | None:
        found = findings.speedups.get(name)
        shown = _ratio(getattr(found, measure)) if found else None
        return replace(shown, tone="muted") if shown and name in findings.emulated else shown  # a caveat names them

    return cell


def _capacity(findings: Findings, name: str) -> Td | None:
    if shown := _speed("capacity")(findings, name):
        return shown
    found = findings.speedups.get(name)
    bound = bounded_ratio(*found.capacity_bounds) if found else None
    return Td(bound) if bound else None


def _size(findings: Findings, name: str) -> Td | None:
    variants, baseline = findings.study.variants, findings.study.baseline
    own, base = variants[name].checkpoint_bytes, variants[baseline].checkpoint_bytes
    if not own:
        return None
    return Td(size(own), note=f"{own / base:.2f}×" if base and name != baseline else "")


def _cost(findings: Findings, name: str) -> Td | None:
    price = findings.study.settings.price
    found = [cost for (variant, _), cost in findings.costs.items() if variant == name]
    mean = _mean([cost.per_million_output.value for cost in found])
    if price is None or mean is None:
        return None
    return Td(("≤ " if any(cost.at_least for cost in found) else "") + number(mean.value), note=price.currency)


def _mean(values: list[float]) -> Estimate | None:
    """The geometric mean."""
    return Estimate(exp(fsum(map(log, values)) / len(values))) if values else None


COLUMNS: tuple[Column, ...] = (
    ("Accuracy recovery", _recovery),
    ("Perplexity", _perplexity),
    ("Single-stream speed", _speed("latency")),
    (CAPACITY, _capacity),
    (THROUGHPUT, _speed("throughput")),
    ("Weights", _size),
    ("Cost of 1M output tokens", _cost),
)
