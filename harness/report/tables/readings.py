"""The two readings of a latency-against-rate figure, and the rates at latency cut-offs over deployments."""

from harness.analysis import Findings
from harness.analysis.scalars import rates
from harness.analysis.speed.capacity import with_error
from harness.analysis.speed.cutoffs import Envelope, deployed
from harness.analysis.speed.performance import ladder
from harness.analysis.speed.readings import MEASURED, latency_at_rate
from harness.report.tables.table import Table, Td, name_of, table, times_label
from harness.report.words import NONE, capacity_gain, number, rate, reading, slo

HOW = (
    "≈ read off the monotone curve between two measured rates, marked where an invalid one lies between them; ≥ the "
    "highest measured rate still keeps the limit; "
    "brackets are 95 % intervals, where repeats give one; never extrapolated."
)

SAME_GPUS = (
    "The best deployment at equal GPUs is below: 2 × X is two replicas of X, with the load split evenly between them."
)


def _name(findings: Findings, variant: str) -> Td:
    return name_of(findings.study, variant, "emulated" if variant in findings.emulated else "")


def _one(findings: Findings) -> str:
    return " Rates are one deployment's, on as many GPUs as it has." if findings.study.gpus_differ else ""


def fixed_rate_table(findings: Findings, scenario: str, latency: str = "itl_ms") -> Table:
    """The latency at fixed request rates, p50 / p99."""
    offered, rows = rates(findings, scenario), []
    for variant in findings.study.variants:
        points, cells = ladder(findings.points[variant, scenario]), []
        for rate_rps in offered:
            typical, tail = (latency_at_rate(points, f"{latency}_{part}", rate_rps) for part in ("p50", "p99"))
            if typical.value is None:
                cells.append(Td(typical.status, "muted", typical.note))
                continue
            point = next((p for p in points if p.rate_rps == rate_rps), None)
            spread = point.spread(f"{latency}_p99") if point and tail.status == MEASURED else None
            note = f"p99 {number(spread[0])} to {number(spread[1])}" if spread else tail.note
            cells.append(Td(f"{reading(typical)} / {reading(tail)}", note=note))
        rows.append([_name(findings, variant), *cells])
    heads = ["Variant", *(f">at {rate_rps:g}/s" for rate_rps in offered)]
    name = latency.removesuffix("_ms").upper()
    note = f"{HOW} Small print: smallest and largest repeat.{_one(findings)}"
    return table(f"{name} at fixed request rates: p50 / p99, ms", heads, rows, note)


def fixed_latency_table(findings: Findings, scenario: str, latency: str = "itl_ms") -> Table:
    """The request rate within fixed limits on the p99, and within the SLO."""
    study, metric, rows = findings.study, f"{latency}_p99", []
    limits, slo_limits = findings.envelopes[scenario, metric].cutoffs_ms, study.scenarios[scenario].slo
    for variant in study.variants:
        points = ladder(findings.points[variant, scenario])
        found = [with_error(points, {metric: limit}) for limit in limits]
        cells = [Td(rate(r), "" if r.value is not None else "muted", r.note) for r in found]
        if slo_limits:
            cells += _at_slo(findings, variant, scenario)
        rows.append([_name(findings, variant), *cells])
    heads = ["Variant", *(f">p99 ≤ {limit:g} ms" for limit in limits)]
    heads += [f">SLO: {slo(slo_limits)}", ">Gain at the SLO"] if slo_limits else []
    name = latency.removesuffix("_ms").upper()
    return table(f"Request rate at fixed {name}, requests/s", heads, rows, HOW + _one(findings))


def _at_slo(findings: Findings, variant: str, scenario: str) -> list[Td]:
    capacity = findings.capacities[variant, scenario]
    shown = Td(rate(capacity), "" if capacity.value is not None else "muted", capacity.note)
    if variant == findings.study.baseline:
        return [shown, Td("baseline", "muted")]
    gain = findings.gains.get((variant, scenario))
    return [shown, Td(capacity_gain(gain), "" if gain else "muted")]


def cutoffs_table(findings: Findings, metric: str, scenario: str | None = None) -> Table:
    """The rate within each latency, a column a variant; over deployments the best of them at the same GPUs."""
    study = findings.study
    found = [findings.envelopes[name, metric] for name in ([scenario] if scenario else study.scenarios)]
    names = list(found[0].families) if found else []
    rows = [
        [Td(e.scenario, note=f"on {e.gpus} GPUs" if e.gpus > 1 else ""), f"{limit:g}", *_best_row(findings, e, limit)]
        for e in found
        for limit in e.cutoffs_ms
    ]
    name = metric.removesuffix("_ms_p99").upper()
    heads = ["Scenario", f">p99 {name} ≤, ms", *(f">{study.label(variant)}" for variant in names)]
    note = HOW
    if deployed(study):
        note += f" {SAME_GPUS}"
    return table(f"Requests/s within a p99 {name}", heads, rows, note, group=0)


def fastest_table(findings: Findings, metric: str) -> Table:
    """The lowest latency at each rate over deployments, a column a variant, all at the same GPUs."""
    study = findings.study
    found = [findings.envelopes[name, metric] for name in study.scenarios]
    rows = [
        [
            Td(e.scenario, note=f"on {e.gpus} GPUs" if e.gpus > 1 else ""),
            Td(number(rate_rps), note=f"{number(rate_rps / e.gpus)} a GPU" if e.gpus > 1 else ""),
            *(_fastest(findings, e, family, rate_rps) for family in e.families),
        ]
        for e in found
        for rate_rps in e.rates_rps
    ]
    name = metric.removesuffix("_ms_p99").upper()
    names = list(found[0].families) if found else []
    heads = ["Scenario", ">Requests/s", *(f">{study.label(variant)}" for variant in names)]
    note = f"{SAME_GPUS} One that was not measured at its share of the rate might be faster."
    return table(f"Lowest p99 {name} at each rate, ms", heads, rows, note, group=0)


def _fastest(findings: Findings, envelope: Envelope, family: str, rate_rps: float) -> Td:
    found = envelope.fastest[family, rate_rps]
    if found.latency.value is None:
        return Td(found.latency.status, "muted", found.latency.note)
    note = "; ".join(
        filter(None, (times_label(findings.study, found.replicas, found.deployment or family), found.latency.note))
    )
    unread = f"; {len(found.unread)} not measured there" if found.unread else ""
    return Td(reading(found.latency), note=note + unread)


def _best_row(findings: Findings, envelope: Envelope, limit: float) -> list[Td]:
    row = []
    for family in envelope.families:
        best = envelope.best[family, limit]
        note = best.rate.note
        if best.rate.value is not None and (envelope.gpus > 1 or len(envelope.families[family]) > 1):
            note = "; ".join(
                filter(None, (times_label(findings.study, best.replicas, best.deployment or family), note))
            )
        text = reading(best.rate) if best.rate.value is not None else best.rate.status or NONE
        row.append(Td(text, "" if best.rate.value is not None else "muted", note))
    return row
