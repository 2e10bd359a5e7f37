"""Tables of what limits the numbers and where they come from: flags, failures, kernels, data, machine."""

import json
from typing import Any

from harness.analysis import Findings
from harness.analysis.validity import command_text, engines, kernels
from harness.report.tables import Table, Td, name_of, table
from harness.report.words import NONE

CELLS_SHOWN = 8
LEVEL_TONES = {"invalid": "bad", "caution": "warn", "note": "muted"}


def flags_table(findings: Findings) -> Table:
    rows = []
    for group in findings.flags:
        cells = ", ".join(group.cells[:CELLS_SHOWN])
        if len(group.cells) > CELLS_SHOWN:
            cells += f" and {len(group.cells) - CELLS_SHOWN} more"
        messages = "; ".join(group.messages[:CELLS_SHOWN])
        level = Td(group.level, LEVEL_TONES.get(group.level, ""))
        rows.append([level, Td(group.code, "code"), messages, len(group.cells), Td(cells, "small")])
    return table("Flags", ["Level", "Flag", "What it says", ">Cells", "Where"], rows)


def failures_table(findings: Findings) -> Table:
    rows = [
        [failure.cell.title if failure.cell else failure.key, Td(failure.error, "bad"), Td(failure.log or NONE, "code")]
        for failure in findings.study.failures
    ]
    return table("Failed cells", ["Cell", "Error", "Log"], rows)


def engines_table(findings: Findings) -> Table:
    study, rows = findings.study, []
    for name, served in engines(study).items():
        for measured in served:
            engine = measured.engine
            version = f"{engine.get('kind', '')} {engine.get('version', '')}".strip()
            command, log = command_text(engine) or NONE, str(engine.get("log") or NONE)
            rows.append([name_of(study, name), version, Td(command, "code"), Td(log, "code")])
    return table("Engines", ["Variant", "Engine", "Server command", "Log"], rows)


def kernels_table(findings: Findings) -> Table:
    study, rows = findings.study, []
    for name, served in engines(study).items():
        seen = dict.fromkeys(kernel for measured in served for kernel in kernels(measured.engine))
        for kernel in seen:
            state = Td("emulated", "warn") if kernel.emulated else Td("native")
            rows.append([name_of(study, name), Td(kernel.layer or NONE, "code"), Td(kernel.kernel, "code"), state])
    return table("Kernels that ran", ["Variant", "Layer type", "Kernel", "How"], rows, group=0)


def data_table(findings: Findings) -> Table:
    seen: dict[tuple, None] = {}
    for measured in findings.study.measured:
        if data := measured.result.get("data"):
            keys = (data.get("source"), data.get("name"), data.get("digest"), data.get("population"))
            seen[measured.cell.suite, *map(_text, keys)] = None
    rows = [[s, source, name, Td(digest, "code"), population] for s, source, name, digest, population in seen]
    return table("Data", ["Suite", "Source", "Name", "Digest or revision", ">Items in the suite"], rows)


def host_table(findings: Findings) -> Table:
    study = findings.study
    facts: dict[str, Any] = {"harness": study.harness, "data": study.data, "seed": study.seed, **study.host}
    return table("Machine and versions", ["Fact", "Value"], [[key, _text(value)] for key, value in facts.items()])


def _text(value: Any) -> str:
    if value in (None, "", [], {}):
        return NONE
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, dict | list) else str(value)
