"""The YAML metadata of a model card, as the hub reads it. Pure.

https://github.com/huggingface/hub-docs/blob/main/modelcard.md
"""

import re
from typing import Any

import yaml

from harness.analysis import Findings
from harness.analysis.quality.accuracy import SuiteResult
from harness.analysis.validity import engines, simulated
from harness.records.fields import Json
from harness.report.files.public_names import HUB_ID, hub_id, public
from harness.report.tables.card import origin, subset, suite_label
from harness.report.tables.overview import POCKET
from harness.report.words import percent

TYPES = {"acc": "accuracy", "acc_norm": "accuracy", "pass@1": "pass@1"}  # the hub's names; others stay as they are


def metadata(findings: Findings, names: tuple[str, ...]) -> str:
    study = findings.study
    facts: Json = {}
    if base := base_model(findings):
        facts |= {"base_model": base, "base_model_relation": "quantized"}
    library = "llama.cpp" if _gguf(findings, names) else "transformers"
    facts |= {"pipeline_tag": "text-generation", "library_name": library, "tags": _tags(findings, names)}
    if len(names) == 1 and (results := _results(findings, names[0])):  # the hub's parser reads one model
        facts["model-index"] = [{"name": public(study.label(names[0])), "results": results}]
    text = yaml.safe_dump(_legal(facts), sort_keys=False, allow_unicode=False, width=100)
    return f"---\n{text}---"


def base_model(findings: Findings) -> str | None:
    """The hub id of the model that the variants were made from; None where nothing names it."""
    study = findings.study
    base = study.variants[study.baseline].checkpoint if study.baseline in study.variants else ""
    served = (measured.engine.checkpoint for measured in study.measured)
    local = frozenset(one.reference for one in served if one and one.reference and one.digest and not one.revision)
    return study.settings.base_model or (hub_id(base, local) if base else None)


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
    """Valid scores only; recovery beside the score, as a separate metric. A simulated score is not published."""
    if simulated(findings.study):
        return []
    found = []
    for (variant, _), result in findings.suites.items():
        if variant != name or not result.valid:
            continue
        label = suite_label(result)
        metrics = [_metric(TYPES.get(result.metric, result.metric), f"{label} {result.metric}", result.score.value)]
        if result.comparison and result.comparison.recovery:
            recovery = result.comparison.recovery
            metrics.append(_metric("recovery", f"{label} recovery: {percent(recovery)}", recovery.value))
        found.append(
            {
                "task": {"type": "text-generation", "name": "Text Generation"},
                "dataset": {"name": ", ".join([label, *subset(result)]), "type": _dataset_type(result)},
                "metrics": metrics,
            }
        )
    return found


def _dataset_type(result: SuiteResult) -> str:
    """The id of a dataset of the hub only for all of that dataset's items; a name that is none for other items."""
    name = result.source.partition(" ")[2]
    if origin(result) == "hub" and HUB_ID.fullmatch(name) and not result.partial:
        return name
    if origin(result) in (POCKET, "mirror"):
        return f"{origin(result)}_{result.suite}"
    return f"{result.suite}_subset" if result.partial else result.suite


def _metric(kind: str, name: str, value: float) -> Json:
    return {"type": kind, "name": name, "value": round(100 * value, 2), "verified": False}
