"""The text of a draft: a sweep file with comments, ready to edit and to run. Pure."""

import json
from dataclasses import dataclass
from typing import Any

from harness.config.schemes import scheme_words
from harness.config.variants import Format, Needs, Variant
from harness.draft.contents import Contents
from harness.draft.engines import ChosenEngine
from harness.draft.variants import Drafted

PERPLEXITY = "perplexity"
ENVIRONMENT_GB = 12  # an engine's packages
GB = 1e9


@dataclass(frozen=True)
class Draft:
    name: str
    sweep: str  # what +sweep= takes: the file's stem
    flags: str  # that a sweep outside of conf/ needs, with a space at the end
    baseline: Drafted
    others: tuple[Drafted, ...]
    engine: ChosenEngine
    contents: Contents
    context: int | None  # where it is less than the engine's max_model_len
    gpus: int  # for the largest variant; 0: a CPU
    data: str | None  # data.root; None: the hub
    data_reason: str
    base_model: str | None  # hub id, where the dense checkpoint is a local one that names it

    @property
    def command(self) -> str:
        return f"harness {self.flags}+sweep={self.sweep}"


def sweep_text(draft: Draft) -> str:
    base, contents = draft.baseline, draft.contents
    compared = f"{base.found.name}: {', '.join(variant.label for variant in draft.others)} against {base.label}"
    chosen = [variant.name for variant in (base, *draft.others) if variant.catalogue]
    lines = [
        "# @package _global_",
        f"# {compared}. Written by `harness study`; edit it.",
        f"#   {draft.command} dry_run=true   # the plan: server commands, cells, time",
        f"#   {draft.command}                # measures; repeat it, and only what is missing is measured",
        "defaults:",
        f"  # {draft.engine.reason}",
        f"  - override /engine: {draft.engine.name}",
        "  # by the formats in the files; all of them: conf/variant/",
        f"  - override /variant: [{', '.join(chosen)}]",
        f"  # {contents.why}; all of them: conf/suite/",
        f"  - override /suite: [{', '.join(contents.suites)}]",
        "  # prompt and generated tokens; all of them: conf/scenario/",
        f"  - override /scenario: [{', '.join(contents.scenarios)}]",
        "",
        f"name: {_text(draft.name)}",
        f"description: {_text(compared)}",
        f"model: {_text(base.found.reference)}  # {_words(base)}",
        f"baseline: {base.name}",
        "margin: 0.01  # non-inferior: at least 99 % of the baseline's accuracy",
    ]
    lines += [f"data: {{root: {_text(draft.data)}}}  # {draft.data_reason}"] if draft.data else []
    lines += [f"engine: {{max_model_len: {draft.context}}}  # this model's"] if draft.context else []
    lines += [f"deployments: {{tensor_parallel: [{draft.gpus}]}}  # of every variant"] if draft.gpus > 1 else []
    lines += [f"hardware: {{gpus: {draft.gpus}, min_free_disk_gb: {_disk_gb(draft)}}}"]
    lines += [f"report: {{base_model: {_text(draft.base_model)}}}  # of the model cards"] if draft.base_model else []
    lines += ["", "variants:"]
    lines += [line for variant in (base, *draft.others) for line in _variant(variant, variant is base)]
    return "\n".join([*lines, "", *_suites(contents), contents.load])


def _disk_gb(draft: Draft) -> int:
    downloads = sum(variant.found.size_bytes for variant in (draft.baseline, *draft.others) if variant.found.on_hub)
    return ENVIRONMENT_GB + round(downloads / GB)


def _words(variant: Drafted) -> str:
    found, said = variant.found, scheme_words(variant.scheme)
    parts = [found.architecture, f"{found.parameters / GB:.3g} billion weights", said["weights"]]
    parts += [f"activations {said['activations']}"] if found.method else []
    parts += ["2:4 sparse"] if variant.scheme.sparsity else []
    parts += [f"KV cache {said['kv_cache']}"] if said["kv_cache"] else []
    size = found.size_bytes / GB
    return ", ".join([*parts, *([found.method] if found.method else []), f"{size:.3g} GB"])


def _variant(variant: Drafted, is_baseline: bool) -> list[str]:
    lines = [f"  {variant.name}:"]
    lines += [] if is_baseline else [f"    # {_words(variant)}"]
    if not variant.catalogue:
        lines += [f"    label: {_text(variant.label)}", f"    scheme: {_flow(_scheme(variant))}"]
        needs = _changed(variant.needs, Needs())
        lines += [f"    needs: {_flow(needs)}"] if needs else []
    elif variant.group_size:
        lines += [f"    scheme: {{weights: {{group_size: {variant.group_size}}}}}"]
    lines += [] if is_baseline else [f"    checkpoint: {_text(variant.found.reference)}"]
    return [*lines, "    recipe: null"]


def _scheme(variant: Drafted) -> dict[str, Any]:
    scheme, default = variant.scheme, Variant(label="").scheme
    found: dict[str, Any] = {
        part: _changed(getattr(scheme, part), Format()) for part in ("weights", "activations") if getattr(scheme, part)
    }
    found |= {"kv_cache": _changed(scheme.kv_cache, Format())} if scheme.kv_cache else {}
    found |= {"sparsity": scheme.sparsity} if scheme.sparsity != default.sparsity else {}
    return {key: value for key, value in found.items() if value}


def _changed(value: Any, default: Any) -> dict[str, Any]:
    return {key: entry for key, entry in vars(value).items() if entry != vars(default)[key]}


def _flow(value: Any) -> str:
    """YAML's flow style, which JSON is, without the quotes of plain words."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(entry)}" for key, entry in value.items()) + "}"
    return _text(value) if isinstance(value, str) else json.dumps(value)


def _text(value: str) -> str:
    """A YAML scalar; ${ would be an interpolation to OmegaConf."""
    plain = value.replace("${", "\\${")
    safe = plain == value and value.replace("/", "").replace("_", "").replace("-", "").replace(".", "").isalnum()
    number_like = value[:1].isdigit() or value.lower() in ("null", "true", "false", "yes", "no", "on", "off", "~")
    return value if safe and not number_like and not value.startswith("-") else json.dumps(plain, ensure_ascii=False)


def _suites(contents: Contents) -> list[str]:
    settings: dict[str, dict[str, int]] = {name: {"items": count} for name, count in contents.items.items()}
    if contents.window:
        settings.setdefault(PERPLEXITY, {})["window"] = contents.window
    if not settings:
        return []
    note = (
        "  # seeded subsets; a 1 % margin takes thousands of items: without `items`, all of them"
        if contents.items
        else ""
    )
    return [f"suites:{note}", *(f"  {name}: {_flow(said)}" for name, said in settings.items()), ""]
