"""Each variant's request rate at the SLO of each scenario, with its bounds: on the first screen, and at a run's end."""

from harness.analysis import Findings
from harness.analysis.speed.readings import BELOW
from harness.report.tables.table import Table, Td, name_of, table
from harness.report.words import NONE, number, rate, slo, slo_ratio

NOTE = (
    'The highest request rate at which the SLO is met. Brackets are 95 % intervals; "82.4 to 191": an unresolved '
    "search's 90 % interval; ≥: the highest rate that was offered still meets it."
)


def slo_table(findings: Findings) -> Table:
    """Empty where no scenario has an SLO."""
    study, rows = findings.study, []
    for scenario, facts in study.scenarios.items():
        for variant in study.variants if facts.slo else ():
            found = findings.capacities[variant, scenario]
            known = found.value is not None or found.low is not None
            shown = rate(found) if known or not (found.status == BELOW and found.high) else f"< {number(found.high)}"
            ratio = "baseline" if variant == study.baseline else slo_ratio(findings, variant, scenario) or NONE
            name = name_of(study, variant, "emulated" if variant in findings.emulated else "")
            rows.append([f"{scenario}: {slo(facts.slo)}", name, Td(shown, "" if known else "muted"), ratio, found.note])
    heads = ["SLO", "Variant", ">Requests/s at the SLO", ">Against the baseline", "How it is known"]
    return table("Requests/s at the SLO", heads, rows, NOTE, group=0)
