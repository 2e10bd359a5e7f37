"""release_notes.md: the verdicts and tables in GitHub's Markdown."""

import re
from html import escape

from harness.analysis import Findings
from harness.analysis.validity import simulated
from harness.report.accuracy_tables import judge_table, published_table, recovery_table, variants_table
from harness.report.performance_tables import (
    fixed_rate_table,
    other_loads_table,
    single_stream_table,
    throughput_table,
)
from harness.report.tables import Table, Td
from harness.report.validity_tables import failures_table, flags_table
from harness.report.words import verdicts

_SPECIAL = re.compile(r"([\\`*|~#]|\](?=[(\[:])|(?<!\w)_|_(?!\w))")


def markdown(text: str) -> str:
    """Text as text: no markup, link, mention or HTML of its own, on one line."""
    return _SPECIAL.sub(r"\\\1", escape(" ".join(text.split()), quote=False)).replace("@", "&#64;")


def release_notes(findings: Findings) -> str:
    study = findings.study
    parts = [f"# {markdown(study.name)}", markdown(study.description)]
    parts += [f"> **{mark.word}** {markdown(mark.reason)}" for mark in findings.marks]
    parts += ["## Verdict", "\n".join(f"- {markdown(verdict.text)}" for verdict in verdicts(findings)) or "- none"]
    tables = [variants_table(findings), recovery_table(findings)]
    tables += [single_stream_table(findings), throughput_table(findings), other_loads_table(findings)]
    tables += [fixed_rate_table(findings, scenario) for scenario in study.scenarios]
    tables += [judge_table(findings)] if findings.win_rates else []
    tables += [published_table(findings)] if study.published and not simulated(study) else []
    tables += [flags_table(findings), failures_table(findings)]
    parts += [_table(table) for table in tables if table.rows]
    if study.missing:
        parts += ["## Not measured", "\n".join(f"- {markdown(cell.title)}" for cell in study.missing)]
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", study.command)), default=0))
    parts += ["## Repeat it", f"{fence}\n{' '.join(study.command.split())}\n{fence}"]
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(table: Table) -> str:
    lines = [f"## {markdown(table.title)}", ""]
    lines.append("| " + " | ".join(markdown(name) for name, _ in table.heads) + " |")
    lines.append("|" + "|".join("---:" if right else "---" for _, right in table.heads) + "|")
    for position, row in enumerate(table.rows):
        repeated = table.group if table.group is not None and not table.opens_block(position) else None
        cells = [markdown(td.text) if column == repeated else _cell(td) for column, td in enumerate(row)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, *(["", markdown(table.note)] if table.note else [])])


def _cell(td: Td) -> str:
    text = f"**{markdown(td.text)}**" if td.tone == "best" else markdown(td.text)
    return f"{text} ({markdown(td.note)})" if td.note else text
