"""Power and energy of the load points whose GPUs were watched; no rows without NVML."""

from harness.analysis import Findings
from harness.analysis.speed.energy import Energy
from harness.report.tables.table import Table, Td, name_of, table
from harness.report.words import NONE, number, size, times

SOURCES = {"counter": "the GPUs' energy counters", "power": "samples of their power"}


def energy_table(findings: Findings) -> Table:
    study, rows = findings.study, []
    for found in findings.energies:
        variant = found.point.variant
        tone = "" if found.point.valid else "bad"
        rows.append(
            [
                found.point.scenario,
                name_of(study, variant, "emulated" if variant in findings.emulated else ""),
                Td(found.point.point.text(" {:g}/s", ", {} in flight"), tone, "" if found.point.valid else "INVALID"),
                Td(
                    number(found.power_w_mean), note=f"at most {number(found.power_w_max)}" if found.power_w_max else ""
                ),
                Td(number(found.sm_mhz_median), note=_clocks(found)),
                Td(number(found.j_per_output_token), tone),
                Td(number(found.j_per_token), tone),
                Td(number(found.output_tokens_per_j), tone),
                _against(findings, found),
                size(round(found.memory_used_bytes_max or 0)),
            ]
        )
    heads = ["Scenario", "Variant", "Load", ">Power, W", ">SM clock, MHz", ">J per output token", ">J per token"]
    heads += [">Output tokens per J", ">Tokens per J, to the baseline's", ">Memory in use"]
    sources = " and ".join(SOURCES[source] for source in sorted({s for e in findings.energies for s in e.sources}))
    note = (
        "All GPUs of the server, from the first intended send to the last response: idle time between requests is in "
        "it, so energy a token depends on the load, and is compared at equal load. J per token counts prompt tokens "
        f"too. Power: mean. Clock: median. {f'Energy is from {sources}.' if sources else ''}"
    )
    return table("Power and energy", heads, rows, note.strip(), group=0)


def _clocks(found: Energy) -> str:
    parts = [f"down to {number(found.sm_mhz_min)}"] if found.sm_mhz_min is not None else []
    parts += [f"of {number(found.sm_mhz_limit)}"] if found.sm_mhz_limit is not None else []
    return " ".join(parts)


def _against(findings: Findings, found: Energy) -> Td:
    if found.point.variant == findings.study.baseline:
        return Td("baseline", "muted")
    if found.gain is None:
        return Td(NONE, "muted")
    return Td(
        times(found.gain),
    )
