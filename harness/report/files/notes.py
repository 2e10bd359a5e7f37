"""release_notes.md: the verdicts, charts and tables in GitHub's Markdown."""

import re

from harness.analysis import Findings
from harness.analysis.speed.cutoffs import METRICS, deployed
from harness.analysis.validity import simulated
from harness.report.figures.figures import Figure
from harness.report.files.markdown import markdown, markdown_table
from harness.report.recommendation import recommendation
from harness.report.tables.accuracy import judge_table, recovery_table
from harness.report.tables.checks import checks_table, left_out_table
from harness.report.tables.energy import energy_table
from harness.report.tables.fidelity import agreement_table, distance_table, known_pairs_table
from harness.report.tables.gains import attribution_table, cost_table, spending_table
from harness.report.tables.gemm import gemm_table
from harness.report.tables.overview import published_table, variants_table
from harness.report.tables.performance import (
    other_loads_table,
    single_stream_table,
    speculation_table,
    throughput_table,
)
from harness.report.tables.provenance import checkpoints_table, host_table, kernels_table
from harness.report.tables.readings import cutoffs_table, fastest_table, fixed_latency_table, fixed_rate_table
from harness.report.tables.table import Table
from harness.report.tables.validity import damage_table, failures_table, flags_table
from harness.report.words import verdicts

__all__ = ["markdown", "release_notes"]


def release_notes(findings: Findings, charts: dict[str, tuple[Figure, str]] | None = None) -> str:
    """`charts`: the SVG files beside the notes, by their path from it; without them the notes stand alone."""
    study = findings.study
    baseline = markdown(study.label(study.baseline))
    parts = [f"# {markdown(study.name)}", markdown(study.description)]
    parts += [f"> **{mark.word}** {markdown(mark.reason)}" for mark in findings.marks]
    parts += ["## Verdict", f"**{markdown(answer)}**" if (answer := recommendation(findings)) else ""]
    parts += [
        "\n".join(f"- {markdown(verdict.text)}" for verdict in verdicts(findings))
        or f"No variant is compared with {baseline}."
    ]
    parts += [_section(checks_table(findings)), _section(left_out_table(findings))]
    figures = {path: figure for path, (figure, _) in (charts or {}).items()}
    parts += [_section(variants_table(findings))] if findings.serves else []
    recovery = recovery_table(findings)
    parts += [*_pictures(figures, "pareto_"), _section(recovery)] if recovery.rows else []
    parts += [_section(agreement_table(findings)), _section(distance_table(findings))]
    parts += [_section(judge_table(findings)), _section(known_pairs_table(findings))] if findings.win_rates else []
    parts += _load(findings, figures)
    parts += [_section(single_stream_table(findings)), _section(throughput_table(findings))]
    parts += [_section(other_loads_table(findings)), _section(speculation_table(findings))]
    parts += [_section(attribution_table(findings))]
    parts += [*_pictures(figures, "attribution"), *_deployments(findings, figures), _section(energy_table(findings))]
    parts += [_section(cost_table(findings)), _section(spending_table(findings))]
    parts += [_section(gemm_table(findings)), *_pictures(figures, "gemm_")]
    parts += [_section(published_table(findings))] if study.published and not simulated(study) else []
    parts += [_section(flags_table(findings)), _section(failures_table(findings))]
    parts += [_section(damage_table(findings))]
    if study.missing:
        parts += ["## Not measured", "\n".join(f"- {markdown(cell.title)}" for cell in study.missing)]
    parts += [_section(host_table(findings)), _section(kernels_table(findings)), _section(checkpoints_table(findings))]
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", study.command)), default=0))
    parts += ["## Repeat it", f"{fence}\n{' '.join(study.command.split())}\n{fence}"]
    return "\n\n".join(part for part in parts if part) + "\n"


def _section(table: Table, level: int = 2) -> str:
    return f"{'#' * level} {markdown(table.title)}\n\n{markdown_table(table)}" if table.rows else ""


def _load(findings: Findings, figures: dict[str, Figure]) -> list[str]:
    parts = ["## Latency against QPS"] if findings.study.scenarios else []
    pictures = {figure.id: path for path, figure in figures.items()}
    for position, scenario in enumerate(findings.study.scenarios):
        parts.append(f"### {markdown(scenario)}")
        if path := pictures.get(f"itl_ms-{position}"):
            parts.append(_picture(path, figures[path]))
        for table in (fixed_rate_table(findings, scenario), fixed_latency_table(findings, scenario)):
            parts.append(_section(table, 4))
    return parts


def _deployments(findings: Findings, figures: dict[str, Figure]) -> list[str]:
    """The envelope over deployments, where there is more than one."""
    if not deployed(findings.study):
        return []
    metric = METRICS[0]
    tables = (fastest_table(findings, metric), cutoffs_table(findings, metric))
    return ["## Deployments", *_pictures(figures, "envelope_"), *(_section(table, 3) for table in tables)]


def _pictures(figures: dict[str, Figure], start: str) -> list[str]:
    found = (_picture(path, figure) for path, figure in figures.items() if path.rpartition("/")[2].startswith(start))
    return ["\n".join(found)]


def _picture(path: str, figure: Figure) -> str:
    told = re.sub(r"(?<!\\)([\[\]])", r"\\\1", markdown(figure.summary))
    return f"![{told}]({path})"
