"""Tables of a comparison of two variants: what differs, load points, capacities, gates."""

from harness.analysis.comparison import Comparison
from harness.analysis.load_changes import A, B, Change
from harness.analysis.statistics.intervals import RESAMPLES, Estimate
from harness.report.tables.table import Table, Td, table
from harness.report.words import NONE, capacity_gain, number, p_value, percent, points, rate, slo

LOAD_COLUMNS = {
    "itl_ms_p50": "ITL p50",
    "itl_ms_p99": "ITL p99",
    "ttft_ms_p50": "TTFT p50",
    "ttft_ms_p99": "TTFT p99",
    "e2e_ms_p50": "E2E p50",
    "output_tok_per_s": "Output tok/s",
}


def metric_name(metric: str) -> str:
    """``ITL p99``, as the column heads have it; another metric as it is."""
    return LOAD_COLUMNS.get(metric, metric)


def differences_table(comparison: Comparison) -> Table:
    rows = [[d.what, Td(d.a or NONE, "code"), Td(d.b or NONE, "code")] for d in comparison.differences]
    return table("What differs between A and B", ["Fact", "A", "B"], rows)


def accuracy_table(comparison: Comparison) -> Table:
    findings, rows = comparison.findings, []
    for suite in comparison.study.suites:
        one, two = (findings.suites.get((word, suite)) for word in (A, B))
        if (either := two or one) is None:
            continue
        scores = [Td(percent(r.score), "" if r.valid else "bad", "" if r.valid else "INVALID") if r else NONE
                  for r in (one, two)]  # fmt: skip
        items = f"{either.items:,}"
        if two is None or two.comparison is None:
            why = "not measured on one side" if two is None or one is None else two.not_compared or "not compared"
            rows.append([suite, *scores, items, Td("not compared", "warn", why), *[Td(NONE, "muted")] * 3])
            continue
        c = two.comparison
        recovery = Td(percent(c.recovery), note="" if c.recovery else "A scored nothing")
        flips, p = (
            f"{c.lost} / {c.gained}",
            Td(p_value(c.p_holm), note=f"{c.test}, alone {p_value(c.p)}" if c.p is not None else ""),
        )
        rows.append([suite, *scores, items, Td(points(c.difference)), recovery, flips, p])
    average = findings.averages[B]
    if len(average.suites) > 1 or average.recovery:
        recovery = Td(percent(average.recovery), note=average.reason or "")
        rows.append([f"average of {len(average.suites)}", "", "", "", "", recovery, "", ""])
    heads = ["Suite", ">A", ">B", ">Items", ">B − A, points", ">Recovery B / A", ">Lost / gained", ">p, corrected"]
    note = (
        "Brackets: 95 % intervals; difference and recovery: paired bootstrap over the same items "
        f"({RESAMPLES:,} resamples, seed {comparison.study.seed}). p: corrected by Holm for the suites compared."
    )
    return table("Accuracy", heads, rows, note)


def load_table(comparison: Comparison) -> Table:
    """A row a load point: the change of each metric, B against A."""
    by_point: dict[tuple[str, str], dict[str, Change]] = {}
    for change in comparison.changes:
        by_point.setdefault((change.scenario, change.load), {})[change.metric] = change
    rows = []
    for (scenario, load), changes in by_point.items():
        cells = [_changed(changes[metric]) for metric in LOAD_COLUMNS]
        if reason := next((c.reason for c in changes.values() if c.reason and c.reason != "no value"), None):
            cells[0] = Td("not compared", "warn", reason)
        rows.append([scenario, load, *cells])
    heads = ["Scenario", "Load", *(f">{name}" for name in LOAD_COLUMNS.values())]
    note = (
        "B / A − 1: below zero is faster, for output tok/s slower. Brackets: 95 % interval over the repeats "
        "(Welch); none: one run each, which gives no interval."
    )
    return table("Load points", heads, rows, note, group=0)


def _changed(change: Change) -> Td:
    if change.ratio is None:
        return Td(NONE, "muted")
    worse = change.ratio.value < 1 if change.metric == "output_tok_per_s" else change.ratio.value > 1
    tone = ("bad" if worse else "good") if change.ratio.excludes(1.0) else ""
    return Td(relative(change.ratio), tone, f"{number(change.a)} → {number(change.b)}")


def relative(ratio: Estimate) -> str:
    """A ratio as its change: ``+4.9 % [+1.0, +8.8]``"""
    low, high = (None if bound is None else bound - 1 for bound in (ratio.low, ratio.high))
    text = points(Estimate(ratio.value - 1, low, high))
    value, bracket, interval = text.partition(" [")
    return f"{value} %{bracket}{interval}"


def products_table(comparison: Comparison) -> Table:
    rows = []
    for change in comparison.products:
        times = [NONE if seconds is None else number(1e6 * seconds) for seconds in (change.a, change.b)]
        if change.ratio is None:
            found = Td("not compared", "warn", change.reason or "")
        else:
            shown = change.paired and change.ratio.excludes(1.0)
            found = Td(relative(change.ratio), ("bad" if change.ratio.value > 1 else "good") if shown else "")
        rows.append([Td(f"{change.batch:,}"), *times, found])
    note = (
        "B / A − 1 of a layer's products together: below zero is faster. Brackets: 95 % interval of the rounds; of two "
        "sweeps it does not hold how one run differs from the next."
    )
    return table("GEMM of the linear layers", [">Batch size", ">A, µs", ">B, µs", ">B against A"], rows, note)


def capacity_table(comparison: Comparison) -> Table:
    findings, rows = comparison.findings, []
    for name, scenario in comparison.study.scenarios.items():
        base, own = (findings.capacities[word, name] for word in (A, B))
        found = [Td(rate(r), note=r.note) for r in (base, own)]
        rows.append([name, slo(scenario.slo), *found, capacity_gain(findings.gains.get((B, name)))])
    heads = ["Scenario", "SLO", ">A, requests/s", ">B, requests/s", ">B / A"]
    return table("Highest request rate that keeps the SLO", heads, rows, "≈ read between two rates; ≥ a lower bound.")
