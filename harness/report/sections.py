"""The report's sections, declared once and in order: the page, its navigation and the release notes loop over them.

To add a table, write its function under tables/ and name it in a section here.
"""

from collections.abc import Callable
from dataclasses import dataclass

from harness.analysis import Findings
from harness.report import composed
from harness.report.blocks import Block, Drawing, FiguresBlock, Maker, in_notes, on_page, shown
from harness.report.tables import (
    accuracy,
    checks,
    energy,
    fidelity,
    gains,
    gemm,
    objectives,
    overview,
    performance,
    provenance,
    run_time,
    to_come,
    validity,
)


@dataclass(frozen=True)
class Section:
    """`navigation`: its name among the links at the top of the page, where the title is too long."""

    id: str
    title: str
    blocks: tuple[Maker, ...]
    condition: Callable[[Findings], bool] = lambda findings: True
    navigation: str | None = None


@dataclass(frozen=True)
class Filled:
    """A section with the blocks that a study's findings give it."""

    id: str
    title: str
    navigation: str
    blocks: tuple[Block, ...]

    @property
    def on_page(self) -> tuple[Block, ...]:
        return tuple(block for block in self.blocks if block.page)

    @property
    def in_notes(self) -> tuple[Block, ...]:
        return tuple(block for block in self.blocks if block.notes)


def _serves(findings: Findings) -> bool:
    return findings.serves


def _scored(findings: Findings) -> bool:
    return bool(findings.suites or findings.win_rates)


def _loaded(findings: Findings) -> bool:
    return bool(findings.study.scenarios)


FIRST = "recommendation"  # the page's first screen, above its navigation

SECTIONS: tuple[Section, ...] = (
    Section(FIRST, "Recommendation", (composed.first_screen,)),
    Section("to_come", "Still to come", (shown(to_come.to_come_table, quiet=True),)),
    Section("verdict", "Verdict", (composed.answer, composed.slo_rates)),
    Section("checks", "Checks", (shown(checks.checks_table, quiet=True), shown(checks.left_out_table))),
    Section("variants", "Variants", (shown(overview.variants_table, quiet=True, always=True),), _serves),
    Section(
        "recovery",
        "Recovery",
        (
            in_notes(composed.fronts),
            shown(accuracy.recovery_table, quiet=True, always=True),
            composed.categories,
        ),
        _scored,
    ),
    Section(
        "fidelity",
        "Fidelity to the baseline",
        (on_page(shown(fidelity.agreement_table)), shown(fidelity.distance_table)),
        navigation="Fidelity",
    ),
    Section(
        "judge",
        "Judge",
        (shown(accuracy.judge_table, quiet=True, always=True), on_page(shown(fidelity.known_pairs_table, always=True))),
        lambda findings: bool(findings.win_rates),
    ),
    Section(
        "slo",
        "Service-level objectives",
        (on_page(shown(objectives.rates_table, quiet=True)), on_page(shown(objectives.met_table))),
        _loaded,
        navigation="SLO",
    ),
    Section("load", "Latency against request rate", (composed.curves,), _loaded),
    Section("pareto", "Pareto", (on_page(composed.fronts),), lambda found: _scored(found) and _loaded(found)),
    Section(
        "serving",
        "Single stream and throughput",
        (
            shown(performance.single_stream_table, always=True),
            shown(performance.throughput_table, always=True),
            shown(performance.other_loads_table),
            shown(performance.lengths_table),
            shown(performance.speculation_table),
        ),
        _loaded,
    ),
    Section(
        "attribution",
        "Attribution",
        (shown(gains.attribution_table, quiet=True, always=True), composed.ladder),
        lambda findings: bool(findings.rungs),
    ),
    Section(
        "cutoffs",
        "Achieved rate at latency cut-offs",
        (composed.envelopes, composed.cutoffs),
        _loaded,
        navigation="Latency cut-offs",
    ),
    Section(
        "energy",
        "Energy",
        (shown(energy.energy_table, quiet=True, always=True),),
        lambda findings: bool(findings.energies),
    ),
    Section("cost", "Cost", (on_page(shown(gains.cost_table, quiet=True)), shown(gains.spending_table, quiet=True))),
    Section(
        "gemm",
        "GEMM of the linear layers",
        (shown(gemm.gemm_table, quiet=True, always=True), composed.products),
        lambda findings: findings.gemm is not None,
        navigation="GEMM",
    ),
    Section(
        "published",
        "Published against measured",
        (composed.published,),
        lambda findings: bool(findings.study.published),
        navigation="Published",
    ),
    Section(
        "validity",
        "Validity",
        (
            composed.flags,
            shown(validity.invalid_table),
            shown(validity.failures_table),
            shown(validity.damage_table),
            composed.not_measured,
        ),
    ),
    Section(
        "provenance",
        "Provenance",
        (
            on_page(composed.command),
            shown(provenance.host_table, always=True),
            shown(provenance.places_table),
            shown(provenance.interference_table),
            on_page(shown(provenance.engines_table, always=True)),
            shown(provenance.kernels_table, always=True),
            shown(provenance.checkpoints_table, always=True),
            on_page(shown(run_time.time_table)),
            on_page(shown(provenance.data_table, always=True)),
            on_page(shown(provenance.traffic_table, always=True)),
            on_page(composed.configuration),
            in_notes(composed.command),
        ),
    ),
)


def fill(findings: Findings, sections: tuple[Section, ...] = SECTIONS) -> tuple[Filled, ...]:
    """The sections whose condition holds and that have something to show, with their blocks."""
    chosen = (section for section in sections if section.condition(findings))
    filled = (_filled(section, findings) for section in chosen)
    return tuple(section for section in filled if section.blocks)


def _filled(section: Section, findings: Findings) -> Filled:
    blocks = tuple(block for make in section.blocks for block in make(findings))
    return Filled(section.id, section.title, section.navigation or section.title, blocks)


def drawings(sections: tuple[Filled, ...]) -> list[Drawing]:
    """Every figure of the sections that has a file beside the release notes."""
    blocks = (block for section in sections for block in section.blocks if isinstance(block, FiguresBlock))
    return [drawing for block in blocks for drawing in block.drawings if drawing.chart]
