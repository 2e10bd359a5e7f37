"""The engine of a draft: the first of conf/engine that reads every checkpoint and has kernels for every scheme."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from harness.checkpoints.compatibility import problems
from harness.checkpoints.inspection.problems import grouped
from harness.config.schemes import needs_words
from harness.draft.variants import Drafted
from harness.engines import engine_class
from harness.errors import HarnessError
from harness.machine import host
from harness.paths import conf_dir
from harness.sweeps.preflight.unsupported import engine_fits

ON_GPU = ("vllm", "vllm_sparse", "vllm_sparse_marlin")  # the newest first
CHECKED = ("vllm", "llamacpp")  # kinds whose versions are compared with the checkpoints


@dataclass(frozen=True)
class ChosenEngine:
    """A file of conf/engine. `reason`: why it is this one, for a comment of the sweep file."""

    name: str
    kind: str
    device: str  # cuda | rocm | cpu
    version: str
    max_model_len: int | None
    reason: str


def choose(variants: Sequence[Drafted], asked: str | None = None) -> ChosenEngine:
    """The engine for all of them on this machine's devices, or `asked`. Raises HarnessError where none serves all."""
    names = (asked,) if asked else _candidates(variants)
    refused: dict[str, str] = {}
    for name in names:
        values = _values(name)
        reason = next(filter(None, (_refusal(values, variant) for variant in variants)), None)
        if reason is None or asked:
            return _chosen(name, values, refused if not asked else {name: reason} if reason else {})
        refused[name] = reason
    said = "; ".join(f"{name}: {reason}" for name, reason in refused.items())
    raise HarnessError(
        f"no engine of conf/engine serves all of these checkpoints: {said}. Leave one out, or choose with --engine NAME"
    )


def _candidates(variants: Sequence[Drafted]) -> tuple[str, ...]:
    if variants[0].found.is_gguf:
        return ("llamacpp",)
    if any(variant.found.method == "bitsandbytes" for variant in variants):
        return ("vllm_bitsandbytes",)
    if host.gpus():
        return ON_GPU
    return ("vllm_rocm",) if host.amd_gpus() else ("vllm_cpu",)


def _values(name: str) -> dict[str, Any]:
    path = conf_dir() / "engine" / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in path.parent.glob("*.yaml")))
        raise HarnessError(f"--engine {name}: no engine of that name in conf/engine: {known}")
    values = yaml.safe_load(path.read_text())
    kind = next(entry.removesuffix("_schema") for entry in values["defaults"] if str(entry).endswith("_schema"))
    return {**values, "kind": kind}


def _refusal(values: dict[str, Any], variant: Drafted) -> str | None:
    """Why this engine does not serve a checkpoint as what it is; None where it does, or nothing is known of it."""
    kind, version = values["kind"], str(values.get("version") or "")
    if kind not in CHECKED:
        return None
    label, name, need = f"{kind} {version}", variant.found.name, variant.needs
    if values.get("device") == "cpu" and need.cpu == "none":
        instead = f" (on a GPU: {needs_words(need)})" if needs_words(need) else ""
        return f"{variant.label} has no kernels on a CPU{instead}"
    if values.get("device") != "cpu" and need.engine and not engine_fits(need.engine, kind, version):
        return f"{name} needs {need.engine}, this is {label}"
    found = grouped(problems(variant.found.files, engine_class(kind).release_of(version)))
    faults = [fault for fault in found if fault.level == "error"]
    return f"{label} cannot read {name} ({faults[0]})" if faults else None


def _chosen(name: str, values: dict[str, Any], refused: dict[str, str]) -> ChosenEngine:
    version = str(values.get("version") or "")
    label = f"{values['kind']} {version}".strip()
    if refused:
        reason = f"{label}; " + "; ".join(refused.values())
    elif values["kind"] not in CHECKED:
        reason = label
    else:
        reason = f"{label} serves all of these checkpoints"
    if values.get("device") == "cpu" and name == "vllm_cpu":
        reason += "; this machine shows no GPU: engine=vllm on one that has"
    return ChosenEngine(
        name, values["kind"], str(values.get("device") or "none"), version, values.get("max_model_len"), reason
    )
