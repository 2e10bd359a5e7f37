"""Model cards in the hub's form: YAML metadata with a model-index, then the tables that model cards carry.

`model_card.md` is the study's card; `model_cards/VARIANT.md` is the card of one checkpoint, to be its README.md. Only
the latter has a model-index: the hub reads one model of it. Metrics are percent; `verified` is never claimed. No card
names a path of this machine.
https://github.com/huggingface/hub-docs/blob/main/modelcard.md
"""

from harness.analysis import Findings
from harness.analysis.study import Study
from harness.report.files.card_metadata import base_model, metadata
from harness.report.files.markdown import code_fence, markdown, markdown_table
from harness.report.files.public_names import public
from harness.report.files.reproduction import command, sweep_file, sweep_yaml
from harness.report.recommendation import conclusion
from harness.report.tables.card import checkpoints_table, evaluation_table, setup_table, suites_table
from harness.report.tables.overview import variants_table
from harness.report.tables.performance import single_stream_table, throughput_table
from harness.report.tables.provenance import kernels_table
from harness.report.tables.readings import fixed_latency_table
from harness.report.tables.table import Table
from harness.report.verdicts import remarks, verdicts
from harness.untrusted.names import file_name

HUB = "https://huggingface.co"


def model_cards(findings: Findings) -> dict[str, str]:
    """By file name, with the sweep file that they name; none where nothing is compared, or nothing was served."""
    study = findings.study
    names = study.forms if findings.serves else ()
    if not names:
        return {}
    found = {"model_card.md": model_card(findings, names)}
    found |= {f"model_cards/{file_name(name)}.md": model_card(findings, (name,)) for name in names}
    reproduced = sweep_yaml(study)
    return found | ({sweep_file(study): reproduced} if reproduced else {})


def model_card(findings: Findings, names: tuple[str, ...]) -> str:
    """The card of the variants `names`, which are none of them the baseline."""
    study = findings.study
    kept = [name for name in (study.baseline, *names) if name in study.variants]
    texts = {verdict.variant: verdict for verdict in verdicts(findings)}
    title = study.label(names[0]) if len(names) == 1 else study.name
    parts = [f"# {markdown(title)}", markdown(study.description), _links(findings)]
    parts += [f"> **{mark.word}** {markdown(mark.reason)}" for mark in findings.marks]
    said = conclusion(findings)
    parts += [f"**{markdown(said.headline)}**"] if said else []
    parts += [markdown(" ".join(remarks([texts[name] for name in names])))]
    parts += ["\n".join(f"- {markdown(texts[name].bare)}" for name in names)]
    parts += ["## Checkpoints", markdown_table(checkpoints_table(findings, kept))]
    parts += ["## Evaluation", markdown_table(evaluation_table(findings, names))] if study.suites else []
    parts += ["## Inference performance", *_speed(findings, kept)]
    parts += ["## How it was measured", markdown_table(setup_table(findings, kept))]
    shown = (suites_table(findings), _only(kernels_table(findings), kept, study))
    parts += [f"### {markdown(found.title)}\n\n{markdown_table(found)}" for found in shown if found.rows]
    parts += _reproduction(study)
    body = "\n\n".join(part for part in parts if part)
    return f"{metadata(findings, names)}\n\n{public(body)}\n"


def _links(findings: Findings) -> str:
    """The base model and the report, where they have an address."""
    base, url = base_model(findings), findings.study.settings.url
    links = [f"Base model: [{base}]({HUB}/{base})"] if base else []
    return ". ".join([*links, *([f"[Full report]({url})"] if url else [])])


def _speed(findings: Findings, kept: list[str]) -> list[str]:
    study = findings.study
    found = [_only(_without(variants_table(findings), "Checkpoint"), kept, study)]
    found += [_only(each, kept, study) for each in (single_stream_table(findings), throughput_table(findings))]
    for scenario, facts in study.scenarios.items():
        if facts.slo:
            each = _only(fixed_latency_table(findings, scenario), kept, study)
            found.append(Table(f"{each.title}, {scenario}", each.columns, each.rows, each.note, each.group))
    return [f"### {markdown(each.title)}\n\n{markdown_table(each)}" for each in found if each.rows]


def _only(found: Table, names: list[str], study: Study) -> Table:
    """The rows of these variants."""
    rows = tuple(row for row in found.rows if all(td.variant is None or td.variant in names for td in row))
    return Table(found.title, found.columns, rows, found.note, found.group)


def _without(found: Table, column: str) -> Table:
    kept = [n for n, name in enumerate(found.columns) if name != column]
    rows = tuple(tuple(row[n] for n in kept) for row in found.rows)
    return Table(found.title, tuple(found.columns[n] for n in kept), rows, found.note, found.group)


def _reproduction(study: Study) -> list[str]:
    if sweep_yaml(study) is None:
        return []
    named = dict.fromkeys(v.checkpoint for v in study.variants.values() if v.checkpoint)
    local = [f"`./{public(reference)}`" for reference in named if public(reference) != reference]
    said = f"`{sweep_file(study)}` beside the study's card is the configuration (harness {markdown(study.harness)})."
    said += f" {', '.join(local)}: local checkpoints; put them there, or name others in the file." if local else ""
    return ["## Reproduction", said, code_fence(command(study), "bash")]
