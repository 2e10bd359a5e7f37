"""The report's page: every section's tables and figures, in the frame of frame.py."""

from typing import Any

import yaml

from harness.analysis import Findings
from harness.analysis.speed.cutoffs import METRICS, deployed
from harness.analysis.validity import simulated
from harness.report.figures.figures import Figure, curve_figure, front_figure
from harness.report.figures.gains import envelope_figure, ladder_figure
from harness.report.figures.gemm import gemm_figures
from harness.report.figures.style import VariantStyle, styles
from harness.report.pages.frame import plain, render
from harness.report.recommendation import recommendation
from harness.report.tables import accuracy, fidelity, gains, overview, performance, provenance, readings, validity
from harness.report.tables import gemm as products
from harness.report.tables.checks import checks_table, left_out_table
from harness.report.tables.energy import energy_table
from harness.report.tables.table import Table
from harness.report.words import plural, slo, verdicts

LATENCIES = ("itl_ms", "ttft_ms", "e2e_ms")
Looks = dict[str, VariantStyle]


def render_page(findings: Findings) -> str:
    study = findings.study
    looks = styles(study.variants, study.baseline)
    return render(
        "page.html",
        title=f"{study.name}: accuracy against performance",
        looks=looks,
        labels={name: variant.label for name, variant in study.variants.items()},
        marks=findings.marks,
        study=study,
        findings=findings,
        recommendation=recommendation(findings),
        verdicts=verdicts(findings),
        checks=checks_table(findings),
        left_out=left_out_table(findings),
        variants=overview.variants_table(findings),
        recovery=accuracy.recovery_table(findings),
        categories=accuracy.categories_table(findings),
        fidelity=[fidelity.agreement_table(findings), fidelity.distance_table(findings)],
        judge=accuracy.judge_table(findings) if findings.win_rates else None,
        known_pairs=fidelity.known_pairs_table(findings),
        published=overview.published_table(findings) if study.published else None,
        simulated=simulated(study),
        fronts=front_figures(findings, looks),
        scenarios=_scenarios(findings, looks),
        single_stream=performance.single_stream_table(findings),
        throughput=performance.throughput_table(findings),
        other_loads=performance.other_loads_table(findings),
        speculation=performance.speculation_table(findings),
        attribution=gains.attribution_table(findings) if findings.rungs else None,
        ladder=ladder_figure(findings, looks, "ladder") if findings.rungs else None,
        ladder_labels={name: study.label(name) for rung in findings.rungs for name in (rung.start, rung.end)},
        cutoffs=_cutoffs(findings),
        envelopes=envelope_figures(findings, looks) if deployed(study) else [],
        energy=energy_table(findings),
        cost=gains.cost_table(findings),
        spending=gains.spending_table(findings),
        gemm=_gemm(findings, looks),
        serves=findings.serves,
        validity=validity,
        provenance=provenance,
        config=yaml.safe_dump(plain(study.config), sort_keys=False, allow_unicode=True, width=110),
        plural=plural,
    )


def _gemm(findings: Findings, looks: Looks) -> dict[str, Any] | None:
    if findings.gemm is None:
        return None
    tables = {"table": products.gemm_table(findings), "layers": products.layers_table(findings)}
    return tables | {"figures": gemm_figures(findings, looks)}


def front_figures(findings: Findings, looks: Looks) -> list[Figure]:
    return [
        front_figure(findings, looks, front, f"front-{front.name}", performance.front_table(findings, front))
        for front in findings.fronts
    ]


def curve_figures(findings: Findings, looks: Looks, scenario: str, position: int) -> list[Figure]:
    """ITL, TTFT and E2E against the request rate."""
    return [
        curve_figure(
            findings,
            looks,
            scenario,
            latency,
            f"{latency}-{position}",
            performance.ladder_table(findings, scenario, latency),
        )
        for latency in LATENCIES
    ]


def envelope_figures(findings: Findings, looks: Looks) -> list[Figure]:
    metric = METRICS[0]
    return [
        envelope_figure(
            findings,
            looks,
            scenario,
            metric,
            f"envelope-{position}",
            readings.cutoffs_table(findings, metric, scenario),
        )
        for position, scenario in enumerate(findings.study.scenarios)
    ]


def _cutoffs(findings: Findings) -> list[list[Table]]:
    """For each latency that was read: achieved rates, and over deployments the fastest at each rate."""
    found = []
    for metric in METRICS:
        if (table := readings.cutoffs_table(findings, metric)).rows:
            fastest = [readings.fastest_table(findings, metric)] if deployed(findings.study) else []
            found.append([table, *fastest])
    return found


def _scenarios(findings: Findings, looks: Looks) -> list[dict[str, Any]]:
    """For each scenario: its figures, each with its two readings."""
    found = []
    for position, (name, scenario) in enumerate(findings.study.scenarios.items()):
        figures = curve_figures(findings, looks, name, position)
        pairs = [
            (readings.fixed_rate_table(findings, name, latency), readings.fixed_latency_table(findings, name, latency))
            for latency in LATENCIES
        ]
        shape = f"{scenario.prompt_tokens} prompt and {scenario.output_tokens} generated tokens; {slo(scenario.slo)}"
        found.append({"name": name, "shape": shape, "figures": figures, "readings": pairs})
    return found
