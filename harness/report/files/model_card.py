"""Model cards in the hub's form: YAML metadata with a model-index, then the tables that model cards carry.

`model_card.md` holds every compressed variant in one model-index; `model_cards/VARIANT.md` is the card of one
checkpoint, to be its README.md. Metrics are percent, as in model cards; `verified` is never claimed.
https://github.com/huggingface/hub-docs/blob/main/modelcard.md
"""

import re
from typing import Any

import yaml

from harness.analysis import Findings
from harness.analysis.quality.accuracy import SuiteResult
from harness.analysis.quality.judge import WinRate
from harness.analysis.study import Study
from harness.analysis.validity import engines, simulated
from harness.records.fields import Json
from harness.report.files.markdown import code_fence, markdown, markdown_table
from harness.report.tables.overview import POCKET, variants_table
from harness.report.tables.performance import single_stream_table, throughput_table
from harness.report.tables.readings import fixed_latency_table
from harness.report.tables.table import Table, Td, table
from harness.report.verdicts import verdicts
from harness.report.words import NONE, percent
from harness.untrusted.names import file_name

HUB = re.compile(r"[\w.-]+/[\w.-]+")
TYPES = {"acc": "accuracy", "acc_norm": "accuracy", "pass@1": "pass@1"}  # the hub's names; others stay as they are


def model_cards(findings: Findings) -> dict[str, str]:
    """By file name; none where nothing is compared with the baseline, or nothing was served."""
    names = findings.study.forms if findings.serves else ()
    found = {"model_card.md": model_card(findings, names)} if names else {}
    return found | {f"model_cards/{file_name(name)}.md": model_card(findings, (name,)) for name in names}


def model_card(findings: Findings, names: tuple[str, ...]) -> str:
    """The card of the variants `names`, which are none of them the baseline."""
    study = findings.study
    kept = [name for name in (study.baseline, *names) if name in study.variants]
    texts = {verdict.variant: verdict for verdict in verdicts(findings)}
    title = study.label(names[0]) if len(names) == 1 else study.name
    parts = [_metadata(findings, names), f"# {markdown(title)}", markdown(study.description)]
    parts += [f"> **{mark.word}** {markdown(mark.reason)}" for mark in findings.marks]
    parts += ["\n".join(f"- {markdown(texts[name].text)}" for name in names)]
    parts += ["## Optimizations", markdown_table(_only(variants_table(findings), kept, study))]
    parts += ["## Evaluation", markdown_table(_evaluation(findings, names))]
    speed = [_only(found, kept, study) for found in (single_stream_table(findings), throughput_table(findings))]
    for scenario, facts in study.scenarios.items():
        if facts.slo:
            found = _only(fixed_latency_table(findings, scenario), kept, study)
            speed.append(Table(f"{found.title}, {scenario}", found.columns, found.rows, found.note, found.group))
    parts += ["## Inference performance"] if any(found.rows for found in speed) else []
    parts += [f"### {markdown(found.title)}\n\n{markdown_table(found)}" for found in speed if found.rows]
    parts += ["## Reproduction", code_fence(study.command, "bash")] if study.command else []
    return "\n\n".join(part for part in parts if part) + "\n"


def _only(found: Table, names: list[str], study: Study) -> Table:
    """The rows of these variants."""
    rows = tuple(row for row in found.rows if all(td.variant is None or td.variant in names for td in row))
    return Table(found.title, found.columns, rows, found.note, found.group)


def _metadata(findings: Findings, names: tuple[str, ...]) -> str:
    study = findings.study
    facts: Json = {}
    base = study.variants[study.baseline].checkpoint if study.baseline in study.variants else ""
    if HUB.fullmatch(base.partition("@")[0]):
        facts |= {"base_model": base.partition("@")[0], "base_model_relation": "quantized"}
    library = "llama.cpp" if _gguf(findings, names) else "transformers"
    facts |= {"pipeline_tag": "text-generation", "library_name": library, "tags": _tags(findings, names)}
    index = [{"name": study.label(name), "results": _results(findings, name)} for name in names]
    if index := [entry for entry in index if entry["results"]]:
        facts["model-index"] = index
    text = yaml.safe_dump(_legal(facts), sort_keys=False, allow_unicode=False, width=100)
    return f"---\n{text}---"


def _legal(value: Any) -> Any:
    """Without lone surrogates, which no YAML reader takes."""
    if isinstance(value, dict):
        return {_legal(key): _legal(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_legal(item) for item in value]
    return value.encode("utf-8", errors="replace").decode() if isinstance(value, str) else value


def _gguf(findings: Findings, names: tuple[str, ...]) -> bool:
    served = engines(findings.study)
    return any(measured.engine.kind == "llamacpp" for name in names for measured in served[name])


def _tags(findings: Findings, names: tuple[str, ...]) -> list[str]:
    study, tags = findings.study, ["gguf" if _gguf(findings, names) else "compressed-tensors"]
    for name in names:
        v = study.variants[name]
        tags += re.findall(r"\b(fp8|int8|int4|w8a8|w4a16|fp4|nvfp4|mxfp4)\b", f"{v.weights} {v.activations}".lower())
        tags += ["sparse"] if v.sparsity else []
    tags += ["simulated"] if simulated(study) else []
    return list(dict.fromkeys(tags))


def _results(findings: Findings, name: str) -> list[Json]:
    """Valid scores only; recovery beside the score, as a metric of its own. A simulated score is not published."""
    if simulated(findings.study):
        return []
    found = []
    for (variant, _), result in findings.suites.items():
        if variant != name or not result.valid:
            continue
        label = _label(result)
        metrics = [_metric(TYPES.get(result.metric, result.metric), f"{label} {result.metric}", result.score.value)]
        if result.comparison and result.comparison.recovery:
            metrics.append(_metric("recovery", f"{label} recovery", result.comparison.recovery.value))
        found.append(
            {
                "task": {"type": "text-generation", "name": "Text Generation"},
                "dataset": {"name": ", ".join([label, *_subset(result)]), "type": _dataset_type(result)},
                "metrics": metrics,
            }
        )
    return found


def _origin(result: SuiteResult | WinRate) -> str:
    """hub | mirror | pocket: where the items came from."""
    return re.split("[ /]", result.source, maxsplit=1)[0]


def _label(result: SuiteResult | WinRate) -> str:
    """``pocket mmlu``: the project's own items do not go by a benchmark's name."""
    return f"pocket {result.suite}" if _origin(result) == POCKET else result.suite


def _subset(result: SuiteResult | WinRate) -> list[str]:
    return [f"subset: {result.items:,} of {result.population:,} items"] if result.partial else []


def _dataset_type(result: SuiteResult) -> str:
    """The id of a dataset of the hub only for all of that dataset's items; a name that is none for other items."""
    name = result.source.partition(" ")[2]
    if _origin(result) == "hub" and HUB.fullmatch(name) and not result.partial:
        return name
    if _origin(result) in (POCKET, "mirror"):
        return f"{_origin(result)}_{result.suite}"
    return f"{result.suite}_subset" if result.partial else result.suite


def _metric(kind: str, name: str, value: float) -> Json:
    return {"type": kind, "name": name, "value": round(100 * value, 2), "verified": False}


def _evaluation(findings: Findings, names: tuple[str, ...]) -> Table:
    """Benchmark, the baseline, and each variant with its recovery."""
    study, rows = findings.study, []
    for suite in study.suites:
        base = findings.suites.get((study.baseline, suite))
        known: SuiteResult | WinRate | None = next(
            (
                found
                for name in (study.baseline, *names)
                if (found := findings.suites.get((name, suite)) or findings.win_rates.get((name, suite)))
            ),
            None,
        )
        facts = [base.metric if base else "", *_subset(known)] if known else []
        row: list[Any] = [
            Td(_label(known) if known else suite, note=", ".join(filter(None, facts))),
            percent(base.score if base and base.valid else None),
        ]
        for name in names:
            result, rate = findings.suites.get((name, suite)), findings.win_rates.get((name, suite))
            score = result.score if result and result.valid else rate.win_rate if rate else None
            kept = result.comparison.recovery if result and result.comparison else None
            row += [
                Td(percent(score), note=f"win rate against {rate.reference}" if rate and score else ""),
                percent(kept),
            ]
        if any((td.text if isinstance(td, Td) else td) != NONE for td in row[1:]):
            rows.append(row)
    averages = [cell for name in names for cell in ("", percent(findings.averages[name].recovery))]
    rows.append([Td("average recovery"), "", *averages])
    heads = ["Benchmark", f">{study.label(study.baseline)}"]
    for name in names:
        heads += [f">{study.label(name)}", ">Recovery"]
    note = "Brackets: 95 % intervals; of recovery, paired over the same items."
    if study.data == POCKET:
        note += " Pocket suites have items of their own: their scores are not those of the benchmarks."
    return table("Evaluation", heads, rows, note)
