"""The report's page: every section's tables and figures, in the frame of frame.py."""

from typing import Any

import yaml

from harness.analysis import Findings
from harness.analysis.validity import simulated
from harness.report import accuracy_tables as accuracy
from harness.report import performance_tables as performance
from harness.report import validity_tables as validity
from harness.report.figures import Figure, curve_figure, front_figure
from harness.report.frame import plain, render
from harness.report.style import styles
from harness.report.words import plural, slo, verdicts


def render_page(findings: Findings) -> str:
    study = findings.study
    looks = styles(list(study.variants), study.baseline)
    return render(
        "page.html",
        title=f"{study.name}: accuracy against performance",
        looks=looks,
        labels={name: variant.label for name, variant in study.variants.items()},
        marks=findings.marks,
        study=study,
        findings=findings,
        verdicts=verdicts(findings),
        variants=accuracy.variants_table(findings),
        recovery=accuracy.recovery_table(findings),
        judge=accuracy.judge_table(findings) if findings.win_rates else None,
        published=accuracy.published_table(findings) if study.published and not simulated(study) else None,
        fronts=_fronts(findings, looks),
        scenarios=_scenarios(findings, looks),
        single_stream=performance.single_stream_table(findings),
        throughput=performance.throughput_table(findings),
        other_loads=performance.other_loads_table(findings),
        validity=validity,
        config=yaml.safe_dump(plain(study.config), sort_keys=False, allow_unicode=True, width=110),
        plural=plural,
    )


def _fronts(findings: Findings, looks: dict) -> list[Figure]:
    return [
        front_figure(findings, looks, front, f"front-{front.name}", performance.front_table(findings, front))
        for front in findings.fronts
    ]


def _scenarios(findings: Findings, looks: dict) -> list[dict[str, Any]]:
    """For each scenario: its figures and the table of its two readings."""
    found = []
    for position, (name, scenario) in enumerate(findings.study.scenarios.items()):
        figures = [
            curve_figure(
                findings,
                looks,
                name,
                latency,
                f"{latency}-{position}",
                performance.ladder_table(findings, name, latency),
            )
            for latency in ("itl_ms", "ttft_ms")
        ]
        shape = f"{scenario.prompt_tokens} prompt and {scenario.output_tokens} generated tokens; {slo(scenario.slo)}"
        readings = performance.fixed_rate_table(findings, name)
        found.append({"name": name, "shape": shape, "figures": figures, "readings": readings})
    return found
