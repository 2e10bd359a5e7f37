"""What a reader must know before believing a number: marks across the page, flags of the cells, engine differences."""

import re
from collections import Counter
from dataclasses import dataclass

from harness.analysis.quality.accuracy import AverageRecovery, SuiteResult
from harness.analysis.quality.judge import WinRate
from harness.analysis.study import Measured, Study
from harness.analysis.to_come import ToCome
from harness.console.progress import duration
from harness.records.engine_facts import EngineFacts

LEVELS = ("invalid", "caution", "note")
DAMAGES_NAMED = 4
SHARED = ("neighbours", "foreign_cpu")  # flags


@dataclass(frozen=True)
class Mark:
    """A word across the page, and why."""

    word: str  # DAMAGED | INCOMPLETE | PARTIAL | INVALID | UNINFORMATIVE | SHARED | EMULATED | SIMULATED
    reason: str


@dataclass(frozen=True)
class FlagGroup:
    code: str
    level: str
    messages: tuple[str, ...]  # distinct, in order of appearance
    cells: tuple[str, ...]  # titles


def engines(study: Study) -> dict[str, list[Measured]]:
    """One measured cell for each distinct engine (version, command, kernels) that served a variant."""
    found: dict[str, list[Measured]] = {name: [] for name in study.variants}
    seen = set()
    for measured in study.measured:
        if not measured.cell.answered_by_variant:
            continue
        identity = (measured.cell.variant, _identity(measured.engine))
        if measured.engine.recorded and identity not in seen:
            seen.add(identity)
            found[measured.cell.variant].append(measured)
    return found


def _identity(engine: EngineFacts) -> tuple:
    """Without the port, which differs from one start to the next."""
    command = re.sub(r"--port[ =]\d+", "", engine.command_text)
    schemes = tuple(sorted(engine.schemes.items()))
    return engine.kind, engine.version, command, engine.kernels, schemes, engine.attention, engine.kv_cache_dtype


def emulated(study: Study) -> tuple[str, ...]:
    """Variants with a layer that runs on an emulation, by the engine's own words or by a cell's flag."""
    return tuple(
        name
        for name in study.variants
        if any(
            any(kernel.emulated for kernel in m.engine.kernels) or any(f.code == "emulated_kernel" for f in m.flags)
            for m in study.measured
            if m.cell.variant == name and m.cell.answered_by_variant
        )
    )


def simulated(study: Study) -> bool:
    """Did a simulated engine answer anywhere? A judge of its answers may be real: its cells carry the flag too."""
    return any(
        m.engine.kind == "simulated" or any(flag.code == "simulated" for flag in m.flags) for m in study.measured
    )


def marks(
    study: Study,
    suites: dict[tuple[str, str], SuiteResult],
    win_rates: dict[tuple[str, str], WinRate],
    averages: dict[str, AverageRecovery],
) -> tuple[Mark, ...]:
    found = []
    if study.damaged:
        found.append(Mark("DAMAGED", damage_words(study)))
    total = len(study.measured) + len(study.missing) + len(study.failures)
    if study.to_come:
        found.append(Mark("INCOMPLETE", _to_come_words(study.to_come, total)))
    if study.failures or (study.missing and not study.to_come):
        counts = {"not measured": 0 if study.to_come else len(study.missing), "failed": len(study.failures)}
        parts = [f"{count} of {total} cells {what}" for what, count in counts.items() if count]
        found.append(Mark("PARTIAL", ", ".join(parts)))
    if invalid := [measured for measured in study.measured if not measured.valid]:
        found.append(Mark("INVALID", f"{len(invalid)} of {total} cells, not compared: {_causes(invalid)}"))
    subsets = {}
    results: list[SuiteResult | WinRate] = [*suites.values(), *win_rates.values()]
    for result in results:
        if result.partial:
            subsets[result.suite] = f"{result.suite} ({result.items:,} of {result.population:,} items)"
    if subsets:
        found.append(Mark("PARTIAL", "suites measured on a subset of their items: " + ", ".join(subsets.values())))
    average = next((average for average in averages.values() if average.left_out), None)
    if average and not simulated(study):
        effect = f"{'that suite does' if len(average.left_out) == 1 else 'those suites do'} not distinguish variants"
        found.append(Mark("UNINFORMATIVE", f"{average.why_left_out}: {effect}"))
    if shared := [one for one in study.measured if any(flag.code in SHARED for flag in one.flags)]:
        effect = f": {study.interference.words}" if study.interference else "; their effect was not measured"
        cells = f"{len(shared)} cell{'s' * (len(shared) != 1)}"
        found.append(Mark("SHARED", f"{cells} measured beside other sessions or processes{effect}"))
    if names := emulated(study):
        labels = ", ".join(study.label(name) for name in names)
        found.append(Mark("EMULATED", f"{labels}: kernels emulated on this hardware; speeds are not representative"))
    if simulated(study):
        found.append(Mark("SIMULATED", "a simulated engine answered: no model was measured"))
    return tuple(found)


def _to_come_words(coming: ToCome, total: int) -> str:
    names = ", ".join(session.name for session in coming.sessions)
    return (
        f"written during the run, at {coming.at}: {coming.cells} of {total} cells were still to come ({names}), "
        f"about {duration(coming.seconds)}; if it was stopped since, the same command goes on from here"
    )


def _several_engines(study: Study) -> tuple[str, str]:
    """Servers that someone else runs are compared as they are: that their builds differ may be the question."""
    if all(served.engine.kind == "endpoint" for served in study.measured):
        return "note", "the servers say that they are different builds: what is compared is server against server"
    return "caution", "the variants were not all served by one engine version"


def _causes(invalid: list[Measured]) -> str:
    """``client_cpu 3, errors 1``: in how many cells."""
    codes = Counter(code for one in invalid for code in {flag.code for flag in one.flags if flag.invalid})
    return ", ".join(f"{code} {count}" for code, count in sorted(codes.items()))


def damage_words(study: Study) -> str:
    """What of the store is damaged, and what repairs it."""
    named = "; ".join(map(str, study.damaged[:DAMAGES_NAMED]))
    more = f"; and {len(study.damaged) - DAMAGES_NAMED} more" if len(study.damaged) > DAMAGES_NAMED else ""
    return f"{named}{more}. Run the sweep's command again: it measures damaged cells again and writes other files anew."


def flag_groups(study: Study, suites: dict[tuple[str, str], SuiteResult]) -> tuple[FlagGroup, ...]:
    """Flags of all cells by level and code, and what only the whole study shows (engines that differ, no pairing)."""
    groups: dict[tuple[str, str], tuple[dict, dict]] = {}

    def add(level: str, code: str, message: str, cell: str) -> None:
        messages, cells = groups.setdefault((level, code), ({}, {}))
        messages[message] = cells[cell] = None

    for measured in study.measured:
        for flag in measured.flags:
            add(flag.level, flag.code, flag.message, measured.cell.title)
    versions = {name: sorted({m.engine.label for m in served}) for name, served in engines(study).items()}
    if len({version for each in versions.values() for version in each}) > 1:
        for name, each in versions.items():
            if each:
                level, message = _several_engines(study)
                add(level, "engine_differs", message, f"{name}: {', '.join(each)}")
    for result in suites.values():
        if result.not_compared:
            add("caution", "not_compared", result.not_compared, f"{result.variant} · {result.suite}")
    rank = {level: position for position, level in enumerate(LEVELS)}
    ordered = sorted(groups, key=lambda key: (rank.get(key[0], len(LEVELS)), key[1]))
    return tuple(FlagGroup(code, level, *map(tuple, groups[level, code])) for level, code in ordered)
