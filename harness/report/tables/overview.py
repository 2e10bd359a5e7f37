"""The variants at a glance, and published figures beside the measured ones."""

import re
from collections.abc import Callable
from math import exp, log

from harness.analysis import Findings
from harness.analysis.findings import speed_against
from harness.analysis.quality.accuracy import AverageRecovery
from harness.analysis.scalars import scalars
from harness.analysis.speed.performance import at
from harness.analysis.statistics.intervals import Estimate
from harness.analysis.study import Study
from harness.report.non_inferiority import each_suite
from harness.report.tables.table import Table, Td, best, name_of, table
from harness.report.words import NONE, bounded_ratio, measured, no_signal, number, percent, points, size, times

POCKET = "pocket"  # the project's own suites: they bear the names of published ones, and hold other items
OTHER_ITEMS = Td("not compared", "muted", "the pocket suites are not the published ones")


def variants_table(findings: Findings) -> Table:
    study = findings.study
    one = {study.baseline: Estimate(1.0)}
    capacity = {name: found.capacity for name, found in findings.speedups.items()}
    columns = {
        "recovery": one | {name: average.recovery for name, average in findings.averages.items()},
        "latency": one | findings.latency,
        "capacity": one | capacity,
        "throughput": one | findings.throughput,
    }
    slow = findings.emulated  # their speed is no merit and no fault of the scheme: never marked as the best
    several, gpus = study.gpus_differ, study.variants[study.baseline].gpus
    alike = {name for name, v in study.variants.items() if v.gpus == gpus}
    own = {study.baseline, *study.forms}  # other deployments have the recovery of one of these
    winners = {
        key: best({name: e for name, e in column.items() if name in (own if key == "recovery" else alike)})
        for key, column in columns.items()
    }

    def gain(key: str, name: str, notes: list[str], show: Callable[[Estimate | None], str] = times) -> Td:
        estimate = columns[key].get(name)
        notes += ["emulated"] if name in slow and key != "recovery" else []
        if name == study.baseline:
            itself = ("100 %" if study.suites else NONE) if key == "recovery" else "1"
            return Td(itself, "muted", "; ".join(["baseline", *notes]))
        wins = winners[key] == name and (key == "recovery" or name not in slow)
        return Td(show(estimate), "best" if wins else "" if estimate else "muted", "; ".join(filter(None, notes)))

    weighed = any(v.checkpoint_bytes for v in study.variants.values())  # not where someone else serves them
    rows = []
    for name, v in study.variants.items():
        average = findings.averages.get(name)
        kept = _kept(findings, name, average) if average else ""
        scheme = "; ".join(filter(None, (f"activations {v.activations}" if v.activations else "", v.sparsity or "")))
        rates = f"rates: {v.load_checkpoint}" if v.load_checkpoint else ""
        row = [name_of(study, name), Td(v.weights or NONE, note=scheme)]
        row += [Td(str(v.gpus))] if several else []
        row += [
            *([Td(size(v.checkpoint_bytes), note=_smaller(findings, name))] if weighed else []),
            _same_recovery(findings, name) or gain("recovery", name, [kept] if kept else [], percent),
            gain("latency", name, _mean_e2e(findings, name)),
            _capacity(findings, name, gain("capacity", name, _mean_rate(findings, name) + _search(findings, name))),
            gain("throughput", name, []),
            _served(findings, name) or Td(v.checkpoint or NONE, "code", rates),
        ]
        rows.append(row)
    heads = ["Variant", "Scheme", *([">GPUs"] if several else []), *([">Weights on disk"] if weighed else [])]
    heads += [">Average recovery"]
    heads += [">Single-stream speed-up", ">Capacity at the SLO", ">Throughput", "Checkpoint"]
    note = (
        "Against the baseline; brackets are 95 % intervals. Average recovery: sum of suite scores / sum of the "
        "baseline's. Speed-up: E2E p50. Capacity: the highest request rate that keeps the SLO. Each is the geometric "
        "mean over scenarios. The best of a column is marked only where its interval is clear of all others"
    )
    note += ", among the variants on as many GPUs as the baseline." if several else "."
    return table("Variants", heads, rows, note)


def _kept(findings: Findings, name: str, average: AverageRecovery) -> str | None:
    if average.uninformative:
        return no_signal(average)
    return _non_inferior(findings, name, average) if average.verdict else average.reason


def _non_inferior(findings: Findings, name: str, average: AverageRecovery) -> str:
    if len(average.suites) < 2 or findings.study.variants[name].accuracy_of:
        return f"non-inferior: {average.verdict}"
    return f"non-inferior: {average.verdict} on average, {each_suite(findings, name)}"


def _served(findings: Findings, name: str) -> Td | None:
    """Return the name that someone else's server gives its model: what it loaded is not known. None for another."""
    own = (m for m in findings.study.measured if m.cell.variant == name and m.cell.answered_by_variant)
    model = next((m.engine.more.get("model") or NONE for m in own if m.engine.kind == "endpoint"), None)
    return Td(str(model), "code", "as the server names it; weights unknown") if model else None


def _same_recovery(findings: Findings, name: str) -> Td | None:
    """Return the recovery that a deployment has from another variant; None where it has its own, or none."""
    study, scored = findings.study, findings.study.variants[name].accuracy_of
    if scored is None or (recovery := findings.averages[name].recovery) is None:
        return None
    return Td("100 %" if scored == study.baseline else percent(recovery), "muted", f"as {study.label(scored)}")


def _smaller(findings: Findings, name: str) -> str:
    own, base = (findings.study.variants.get(v) for v in (name, findings.study.baseline))
    if name == findings.study.baseline or not (base and own and base.checkpoint_bytes and own.checkpoint_bytes):
        return ""
    return f"{own.checkpoint_bytes / base.checkpoint_bytes:.2f}× of the baseline"


def _mean_e2e(findings: Findings, name: str) -> list[str]:
    found = [at(findings.points[name, scenario], "single_stream") for scenario in findings.study.scenarios]
    values = [value for point in found if point and point.valid and (value := point.value("e2e_ms_p50"))]
    return [f"E2E {number(_geometric(values))} ms"] if values and len(values) == len(found) else []


def _mean_rate(findings: Findings, name: str) -> list[str]:
    """Over the scenarios that the variants are compared in."""
    scenarios = next((s.capacity_scenarios for s in findings.speedups.values() if s.capacity_scenarios), ())
    values = [value for scenario in scenarios if (value := findings.capacities[name, scenario].value)]
    return [f"{number(_geometric(values))}/s"] if values and len(values) == len(scenarios) else []


def _search(findings: Findings, name: str) -> list[str]:
    means = findings.speedups.get(name)
    return ["within one search"] if means and means.capacity_within_search else []


def _geometric(values: list[float]) -> float:
    return exp(sum(log(value) for value in values) / len(values))


def _capacity(findings: Findings, name: str, mean: Td) -> Td:
    """The mean over scenarios, else its bounds."""
    means = findings.speedups.get(name)
    bound = bounded_ratio(*means.capacity_bounds) if means else None
    if mean.text != NONE or not bound:
        return mean
    shared = next((s.capacity_scenarios for s in findings.speedups.values() if s.capacity_scenarios), ())
    where = f"in {shared[0]}" if len(shared) == 1 else ""
    return Td(bound, note="; ".join(filter(None, (where, "emulated" if name in findings.emulated else ""))))


def published_table(findings: Findings) -> Table:
    study, rows = findings.study, []
    for figure in study.published:
        variant, suite, metric, over = figure.variant, figure.suite, figure.metric, figure.against
        value = float(figure.value)
        if suite:
            result, rate = findings.suites.get((variant, suite)), findings.win_rates.get((variant, suite))
            own = result.score if result and result.valid else rate.win_rate if rate else None
            value = value / 100 if value > 1.5 else value  # scores are published in percent as well as in 0..1
            shown = [percent(Estimate(value)), percent(own), NONE if study.data != POCKET else OTHER_ITEMS]
            if own and study.data != POCKET:
                bounds = (None if bound is None else bound - value for bound in (own.low, own.high))
                shown[2] = Td(points(Estimate(own.value - value, *bounds)), note=_agrees(own, value, "points"))
        else:
            there = _on_gpu(study, figure.gpu)
            own = _scalar(findings, variant, metric, over) if there else None
            shown = [number(value), measured(own) if there else Td(NONE, "muted", "not such a GPU"), NONE]
            if own and study.data == POCKET and str(metric).startswith("recovery/"):
                shown[2] = OTHER_ITEMS
            elif own:
                shown[2] = Td(f"{100 * (own.value / value - 1):+.1f} %", note=_agrees(own, value))
        label = name_of(study, variant) if variant in study.variants else variant
        what = Td(suite or metric or NONE, note=f"against {study.label(over)}" if over else "")
        rows.append([label, what, *shown, Td(figure.source, "muted")])
    heads = ["Variant", "What", ">Published", ">Measured here", ">Difference", "Source"]
    return table("Published against measured", heads, rows)


def _on_gpu(study: Study, pattern: str | None) -> bool:
    """A figure of one kind of GPU (`gpu`: a pattern for its name) is compared on such a one only."""
    return pattern is None or any(re.search(pattern, gpu.name) for gpu in study.host.gpus or ())


def _scalar(findings: Findings, variant: str, metric: str | None, against: str | None) -> Estimate | None:
    """`against`: the variant that a speed-up is over; None: the baseline."""
    known = findings.study.variants
    if variant not in known or (against is not None and against not in known):
        return None
    found = scalars(speed_against(findings, against) if against else findings, variant)
    if metric not in found:
        return None
    return Estimate(found[metric], found.get(f"{metric}_low"), found.get(f"{metric}_high"))


def _agrees(own: Estimate, value: float, unit: str = "") -> str:
    if not own.bounded:
        return unit
    inside = "outside of the interval" if own.excludes(value) else "inside of the interval"
    return f"{unit}; {inside}" if unit else inside
