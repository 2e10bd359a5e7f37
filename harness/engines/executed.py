"""Did a variant's layers run in the format that its scheme names? Judged by what the engine's log names alone. Pure.

`facts` are those of `vllm_log.read_log`; an engine that names nothing leaves the question open.
"""

import re
from collections.abc import Iterator
from typing import Any

from harness.checkpoints.inspection import Inspection
from harness.config import Scheme
from harness.engines.kernels import SIXTEEN_BIT
from harness.engines.layer_names import compact, expand
from harness.schemes import quantized, words

SPARSE_SCHEMES = {"CompressedTensors24", "CompressedTensorsW4A16Sparse24"}
SPARSE_METHODS = {"gptq_marlin_24"}  # of every linear layer, without a line for each
NAMES_LAYERS = "compressed-tensors"  # vLLM's only quantization method that names each layer's scheme
SIXTEEN_BIT_SCHEME = re.compile(r"W(?:\d+|N)A16")
UNQUANTIZED_CACHES = {"auto", "half", "float", "float16", "bfloat16", "float32", "bf16"}
ROUNDED_ONLY = {"CompressedTensorsWNA8O8Int"}  # rounds activations to INT8 and multiplies in 16 bit (0.32)
FUSED = {"qkv_proj": ("q_proj", "k_proj", "v_proj"), "gate_up_proj": ("gate_proj", "up_proj")}  # vLLM's: files'
SHOWN = 4  # compact layer names in a message


def sparse_problem(facts: dict[str, Any], inspection: Inspection | None) -> tuple[str, str] | None:
    """(flag, message) where 2:4 weights ran dense, in all layers or in some, or where nothing tells; None: all ran 2:4.

    `inspection`: of the checkpoint, where it was looked at; layers whose weights are not 2:4 do not count.
    """
    method = facts.get("quantization")
    schemes = facts.get("schemes") or {}
    if not schemes:
        return _without_schemes(facts, method)
    sparse = sum(entry["layers"] for name, entry in schemes.items() if name in SPARSE_SCHEMES)
    dense = {name: names for name, entry in schemes.items() if name not in SPARSE_SCHEMES
             and (names := _pruned(entry, inspection))}  # fmt: skip
    count = sum(number for number, _ in dense.values())
    if not count:
        return None
    where = "; ".join(f"{name}: {_listed(names)}" for name, (_, names) in dense.items())
    return "no_sparse_kernel", f"{count} of {sparse + count} layers with 2:4 sparse weights ran dense ({where})"


def _without_schemes(facts: dict[str, Any], method: str | None) -> tuple[str, str] | None:
    if method in SPARSE_METHODS:
        return None
    if method == "none":
        return "no_sparse_kernel", "all layers with 2:4 sparse weights ran dense: vLLM logs quantization=None"
    if method and method != NAMES_LAYERS:
        return "no_sparse_kernel", f"all layers with 2:4 sparse weights ran dense: vLLM's {method} has no 2:4 kernels"
    if method and facts.get("schemes") is not None:
        return "no_sparse_kernel", "all layers with 2:4 sparse weights ran dense: vLLM names no scheme for any of them"
    engine = f"{facts.get('kind', 'the engine')} {facts.get('version', '')}".strip()
    return "kernel_unknown", f"{engine} does not say whether its 2:4 kernels ran: its log names no scheme for a layer"


def _pruned(entry: dict[str, Any], inspection: Inspection | None) -> tuple[int, list[str]] | None:
    """(layers, compact names) without those whose weights are known not to be 2:4; None where none is left."""
    if inspection is None or not inspection.sparse24 or any(name.startswith("and ") for name in entry["names"]):
        return entry["layers"], entry["names"]
    known = {layer.name: layer.sparse24 for layer in inspection.layers}
    kept = [layer for layer in expand(entry["names"]) if _may_be_24(layer, known)]
    return (len(kept), compact(kept)) if kept else None


def _may_be_24(layer: str, known: dict[str, bool]) -> bool:
    parent, _, kind = layer.rpartition(".")
    names = [layer, *(f"{parent}.{part}" for part in FUSED.get(kind, ()))]
    told = [known[name] for name in names if name in known]
    return any(told) or not told


def activation_problems(facts: dict[str, Any], scheme: Scheme) -> Iterator[tuple[str, str]]:
    """(flag, message) for each way in which quantized activations were computed in another format."""
    if not quantized(scheme.activations):
        return
    said = f"the scheme says {words(scheme.activations)}"
    schemes = facts.get("schemes") or {}
    total = sum(entry["layers"] for entry in schemes.values())
    for name, entry in schemes.items():
        if SIXTEEN_BIT_SCHEME.search(name):
            text = f"activations stayed in 16 bit in {entry['layers']} of {total} layers ({name}: "
            yield "activations_unquantized", f"{text}{_listed(entry['names'])}); {said}"
        if name in ROUNDED_ONLY:
            yield "emulated_kernel", f"{name}: activations are rounded and multiplied in 16 bit; its speed says nothing"
    ran: dict[str, list[str]] = {}
    for entry in facts.get("kernels") or []:
        if entry.get("activations") and not SIXTEEN_BIT_SCHEME.search(entry["layer"]):
            ran.setdefault(entry["activations"], []).append(f"{entry['kernel']} for {entry['layer']}")
    for format, kernels in ran.items():
        by = ", ".join(dict.fromkeys(kernels))
        if format == SIXTEEN_BIT:
            yield "activations_unquantized", f"activations stayed in 16 bit ({by}); {said}"
        else:
            yield "activations_differ", f"activations were computed in {format} ({by}); {said}"


def cache_problem(facts: dict[str, Any], wanted: str | None) -> tuple[str, str] | None:
    """`wanted`: the KV cache's format in words, where the variant quantizes it."""
    ran = facts.get("kv_cache_dtype")
    if wanted is None or ran is None or not set(ran.split(", ")) & UNQUANTIZED_CACHES:
        return None
    return "kv_cache_unquantized", f"the KV cache was kept in {ran}; the variant says {wanted}"


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
