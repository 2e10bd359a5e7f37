"""Makers of blocks that are more than one table: figures with their notes, what is folded away, texts."""

import json
from collections.abc import Iterator

import yaml

from harness.analysis import Findings
from harness.analysis.speed.cutoffs import METRICS, deployed
from harness.analysis.validity import Mark, simulated
from harness.records.metrics import SHOWN_LATENCIES
from harness.report.blocks import (
    Answer,
    Block,
    Caveat,
    Command,
    Configuration,
    Details,
    Drawing,
    FiguresBlock,
    FirstScreen,
    Heading,
    HowToRead,
    Legend,
    NotMeasured,
    TableBlock,
    Text,
    legend,
)
from harness.report.figures.figures import curve_figure
from harness.report.figures.fronts import front_figure
from harness.report.figures.gains import envelope_figure, ladder_figure
from harness.report.figures.gemm import gemm_figures
from harness.report.figures.style import styles
from harness.report.recommendation import conclusion
from harness.report.tables.accuracy import categories_table
from harness.report.tables.gemm import layers_table
from harness.report.tables.glance import glance_table
from harness.report.tables.overview import published_table
from harness.report.tables.performance import front_table, ladder_table
from harness.report.tables.readings import cutoffs_table, fastest_table, fixed_latency_table, fixed_rate_table
from harness.report.tables.slo import slo_table
from harness.report.tables.table import Table
from harness.report.tables.validity import flags_table
from harness.report.verdicts import remarks, verdicts
from harness.report.words import slo
from harness.untrusted.names import file_name

CURVES = (
    "Solid: p50; dashed: p99. Served rate: what was offered or, where the server fell behind, what it finished (hollow "
    "marker: less than 95 % of the offered rate). Cross: the point failed its validity checks. Bars: smallest to "
    "largest repeat. Red line: the SLO. Times count from the moment at which a request was due."
)
PARETO = (
    "Up and right is better. Both axes are relative to the baseline, geometric mean over scenarios; bars are 95 % "
    "intervals. Dotted: the front, by point estimates. Pale: another variant's intervals are above on both axes. "
    "Hollow: only a bound of the gain is known; the arrow points to where it may be, a line is between two bounds."
)
ENVELOPES = (
    "At an equal number of GPUs. Lines: one deployment each, as often as the GPUs allow. Wide and pale: the envelope, "
    "the best deployment of a variant that was measured within each latency."
)
PRODUCTS = (
    "On random data, operands quantized beforehand, weights from memory; all variants timed in turn. Bars: 95 % "
    "intervals of the median over rounds. Cross, hollow: a product whose answer is wrong. Thin dashed lines: what the "
    "roofline allows."
)


def first_screen(findings: Findings) -> Iterator[Block]:
    caveats = tuple(Caveat(mark.word, mark.reason, _section(mark)) for mark in findings.marks)
    said = conclusion(findings)
    yield FirstScreen(said, glance_table(findings), _picture(findings), caveats)


def _section(mark: Mark) -> str:
    """The section that explains a mark."""
    sections = {
        "SIMULATED": "provenance",
        "EMULATED": "provenance",
        "INCOMPLETE": "to_come",
        "UNINFORMATIVE": "recovery",
    }
    return sections.get(mark.word, "validity")


def _picture(findings: Findings) -> Drawing | None:
    """Quality against what the recommendation is about, else the first front; without quality, the first ladder."""
    study, looks = findings.study, styles(findings.study.variants, findings.study.baseline)
    fronts = [front for front in findings.fronts if front.drawn]
    wanted = findings.recommendation.objective if findings.recommendation else None
    for front in sorted(fronts, key=lambda front: front.name != wanted):
        figure = front_figure(findings, looks, front, "first-front", front_table(findings, front))
        return Drawing(figure, f"pareto_{front.name}")
    for name in study.scenarios:
        latency = SHOWN_LATENCIES[0]
        figure = curve_figure(findings, looks, name, latency, "first-ladder", ladder_table(findings, name, latency))
        if figure.spec["data"]:
            return Drawing(figure, f"itl_{file_name(name)}")
    return None


def slo_rates(findings: Findings) -> Iterator[Block]:
    """The rates at the SLO; the notes have them where nothing else is the answer."""
    table = slo_table(findings)
    if table.rows:
        yield TableBlock(table, inline=True, notes=not findings.study.suites)


def answer(findings: Findings) -> Iterator[Block]:
    study = findings.study
    said = tuple(verdicts(findings))
    yield Answer(conclusion(findings), said, study.label(study.baseline), remarks(said))


def categories(findings: Findings) -> Iterator[Block]:
    table = categories_table(findings)
    if table.rows:
        yield Details(table.title, (TableBlock(table),))


def fronts(findings: Findings) -> Iterator[Block]:
    looks = styles(findings.study.variants, findings.study.baseline)
    drawings = []
    for front in findings.fronts:
        figure = front_figure(findings, looks, front, f"front-{front.name}", front_table(findings, front))
        drawings.append(Drawing(figure, f"pareto_{front.name}" if front.drawn else None))
    yield HowToRead(PARETO)
    yield legend(findings.study)
    yield FiguresBlock(tuple(drawings))


def curves(findings: Findings) -> Iterator[Block]:
    """ITL, TTFT and E2E against the request rate, and each scenario's readings of them."""
    study = findings.study
    looks = styles(study.variants, study.baseline)
    yield Heading("Latency against request rate", level=2, page=False)
    yield HowToRead(CURVES)
    yield legend(study)
    for position, (name, scenario) in enumerate(study.scenarios.items()):
        asked = f"{scenario.prompt_tokens} prompt and {scenario.output_tokens} generated tokens"
        shape = f"{asked if scenario.prompt_tokens else 'prompts as they are in a file'}; {slo(scenario.slo)}"
        itl, *others = (
            curve_figure(findings, looks, name, latency, f"{latency}-{position}", ladder_table(findings, name, latency))
            for latency in SHOWN_LATENCIES
        )
        chart = Drawing(itl, f"itl_{file_name(name)}", f"{itl.title}, {name}: {itl.key}")
        yield Heading(name)
        yield Text(shape, "note")
        yield FiguresBlock((chart, *map(Drawing, others)), "grid three")
        for latency in SHOWN_LATENCIES:
            tables = (fixed_rate_table(findings, name, latency), fixed_latency_table(findings, name, latency))
            blocks = tuple(TableBlock(table, notes=False) for table in tables)
            if latency == SHOWN_LATENCIES[0]:
                yield from blocks
            else:
                yield Details("; ".join(table.title for table in tables), blocks)


def ladder(findings: Findings) -> Iterator[Block]:
    study = findings.study
    if figure := ladder_figure(findings, styles(study.variants, study.baseline), "ladder"):
        yield Legend({name: study.label(name) for rung in findings.rungs for name in (rung.start, rung.end)})
        yield FiguresBlock((Drawing(figure, "attribution"),), "")


def envelopes(findings: Findings) -> Iterator[Block]:
    """The rate within a latency over deployments, where there is more than one."""
    study, metric = findings.study, METRICS[0]
    if not deployed(study):
        return
    looks = styles(study.variants, study.baseline)
    drawings = []
    for position, scenario in enumerate(study.scenarios):
        data = cutoffs_table(findings, metric, scenario)
        figure = envelope_figure(findings, looks, scenario, metric, f"envelope-{position}", data)
        drawings.append(Drawing(figure, f"envelope_{file_name(scenario)}"))
    yield Heading("Deployments", level=2, page=False)
    yield HowToRead(ENVELOPES)
    yield legend(study)
    yield FiguresBlock(tuple(drawings))
    for table in (fastest_table(findings, metric), cutoffs_table(findings, metric)):
        yield TableBlock(table, level=3, page=False)


def cutoffs(findings: Findings) -> Iterator[Block]:
    """For each latency that was read: achieved rates, and over deployments the fastest at each rate."""
    found: list[list[Table]] = []
    for metric in METRICS:
        if (table := cutoffs_table(findings, metric)).rows:
            found.append([table, *([fastest_table(findings, metric)] if deployed(findings.study) else [])])
    for position, tables in enumerate(found):
        blocks = tuple(TableBlock(table, inline=True, notes=False) for table in tables)
        if position == 0:
            yield from blocks
        else:
            yield Details("; ".join(table.title for table in tables), blocks)
    if not found:
        yield Text("No rate was measured within a latency.", "muted")


def products(findings: Findings) -> Iterator[Block]:
    study, layers = findings.study, layers_table(findings)
    figures = gemm_figures(findings, styles(study.variants, study.baseline))
    yield HowToRead(PRODUCTS)
    yield legend(study)
    yield FiguresBlock(tuple(Drawing(figure, figure.id.replace("-", "_")) for figure in figures))
    yield Details(layers.title, (TableBlock(layers),))


def published(findings: Findings) -> Iterator[Block]:
    if simulated(findings.study):
        yield Text("Not compared: a simulated engine answered.", "muted", inline=True)
    else:
        yield TableBlock(published_table(findings), quiet=True, inline=True)


def flags(findings: Findings) -> Iterator[Block]:
    if findings.flags:
        yield TableBlock(flags_table(findings), inline=True)
    else:
        yield Text("No flags.", inline=True)


def not_measured(findings: Findings) -> Iterator[Block]:
    yield NotMeasured(findings.study.missing)


def command(findings: Findings) -> Iterator[Block]:
    yield Command(findings.study.command)


def configuration(findings: Findings) -> Iterator[Block]:
    config = json.loads(json.dumps(findings.study.config, default=str))  # JSON types: YAML prints others with tags
    yield Configuration(yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=110))
