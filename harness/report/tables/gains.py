"""Where a gain comes from, and what it is worth: the attribution ladder and the cost."""

from harness.analysis import Findings
from harness.analysis.speed.attribution import TOGETHER
from harness.analysis.spending import spending
from harness.analysis.statistics.intervals import Estimate
from harness.report.tables.table import Table, Td, name_of, table
from harness.report.words import NONE, measured, number, percent, times, told


def attribution_table(findings: Findings) -> Table:
    study, slow, rows = findings.study, findings.emulated, []
    for rung in findings.rungs:
        end = "emulated" if rung.end in slow else ""
        means = rung.speedups
        count = len(means.capacity_scenarios)
        where = (
            f"{count} of {len(study.scenarios)} scenarios" if means.capacity and count < len(study.scenarios) else ""
        )
        rows.append(
            [
                Td(f"{study.label(rung.start)} → {study.label(rung.end)}", note=end),
                Td(rung.adds, "strong" if rung.adds == TOGETHER else ""),
                _gain(means.latency, _less(means.latency)),
                _gain(means.throughput),
                _gain(means.capacity, where),
                Td(percent(rung.recovery.recovery), note=rung.recovery.reason or ""),
            ]
        )
    heads = ["Step", "What it adds", ">Single-stream speed-up", ">Throughput", ">Capacity at the SLO", ">Recovery"]
    note = (
        "Each step against the variant before it, geometric mean over scenarios, 95 % intervals of that comparison: "
        "the speed-ups of the steps multiply to those of the last line."
    )
    return table("Attribution", heads, rows, note)


def _gain(estimate: Estimate | None, note: str = "") -> Td:
    if estimate is None:
        return Td(NONE, "muted")
    sure = told(estimate).strip(" ()")
    return Td(times(estimate), note="; ".join(filter(None, (note, sure))))


def _less(estimate: Estimate | None) -> str:
    """1.43× as fast is 30 % less latency."""
    if estimate is None:
        return ""
    less = 100 * (1 - 1 / estimate.value)
    return f"{abs(less):.0f} % {'less' if less >= 0 else 'more'} latency"


def attribution_data(findings: Findings, ladders: dict[str, list[tuple[str, Estimate]]]) -> Table:
    """The data of the ladder figure: the speed-up over the first variant, by scenario and rung."""
    rows = [
        [scenario, name_of(findings.study, variant), "1" if position == 0 else times(value)]
        for scenario, ladder in ladders.items()
        for position, (variant, value) in enumerate(ladder)
    ]
    return table("Single-stream speed-up along the ladder", ["Scenario", "Variant", ">Speed-up"], rows, group=0)


def cost_table(findings: Findings) -> Table:
    """Empty without a price."""
    study, price, rows = findings.study, findings.study.settings.price, []
    if price is None:
        return table("Cost", ["Scenario"], [])
    for scenario in study.scenarios:
        for variant in study.variants:
            name = name_of(study, variant, "emulated" if variant in findings.emulated else "")
            if (cost := findings.costs.get((variant, scenario))) is None:
                why = findings.capacities[variant, scenario]
                rows.append(
                    [scenario, name, *[Td(NONE, "muted")] * 3, NONE, Td(f"capacity {why.status}", "muted", why.note)]
                )
                continue
            more, less = ("≥ ", "≤ ") if cost.at_least else ("", "")
            once = "" if cost.tokens_per_unit.bounded else "no interval"
            rows.append(
                [
                    scenario,
                    name,
                    Td(more + measured(cost.tokens_per_unit), note=once),
                    less + measured(cost.per_million_output),
                    less + measured(cost.per_million_total),
                    str(cost.gpus),
                    Td("the capacity is a lower bound", "muted") if cost.at_least else "",
                ]
            )
    unit = price.currency
    heads = ["Scenario", "Variant", f">Output tokens per {unit}", f">{unit} per million output tokens"]
    heads += [f">{unit} per million tokens, prompt and output", ">GPUs", "Remark"]
    note = (
        f"At {number(price.per_gpu_hour)} {unit} per GPU-hour ({price.source}, {price.date}), with the server at the "
        "highest request rate that keeps the SLO all the time: the cheapest that the SLO allows. Intervals are the "
        "capacity's; the price is taken as exact."
    )
    return table("Cost at the SLO", heads, rows, note, group=0)


def spending_table(findings: Findings) -> Table:
    """Empty where no server takes money."""
    rows, found = [], spending(findings.study)
    for one in found:
        counts = (one.cells, one.requests, one.prompt_tokens, one.completion_tokens)
        money = f"{one.amount:.4g} {one.currency}"
        who = name_of(findings.study, one.variant) if one.variant else Td(NONE, "muted")
        rows.append([one.subject, who, *(NONE if n is None else f"{n:,}" for n in counts), money])
    prices = "; ".join(dict.fromkeys(one.price for one in found))
    heads = ["Suite or scenario", "Variant", ">Cells", ">Requests", ">Prompt tokens", ">Completion tokens", ">Cost"]
    note = f"At {prices}, tokens as the server counted them."
    return table("What the endpoint took", heads, rows, note if found else "", group=0)
