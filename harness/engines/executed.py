"""Did a variant's layers run in the format that its scheme names? Judged by what the engine's log names alone. Pure.

An engine whose log names nothing leaves the question open.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Protocol

from harness.config.schemes import quantized, words
from harness.config.variants import Scheme
from harness.engines.kernels import SIXTEEN_BIT
from harness.engines.layer_names import compact, expand
from harness.records.engine_facts import EngineFacts, LoggedScheme

SPARSE_SCHEMES = {"CompressedTensors24", "CompressedTensorsW4A16Sparse24"}
SPARSE_METHODS = {"gptq_marlin_24"}  # of every linear layer, without a line for each
NAMES_LAYERS = "compressed-tensors"  # vLLM's only quantization method that names each layer's scheme
SIXTEEN_BIT_SCHEME = re.compile(r"W(?:\d+|N)A16")
UNQUANTIZED_CACHES = {"auto", "half", "float", "float16", "bfloat16", "float32", "bf16"}
ROUNDED_ONLY = {"CompressedTensorsWNA8O8Int"}  # rounds activations to INT8 and multiplies in 16 bit (0.32)
FUSED = {  # vLLM's name: the files'
    "qkv_proj": ("q_proj", "k_proj", "v_proj"),
    "gate_up_proj": ("gate_proj", "up_proj", "w1", "w3"),
    "fused_qkv_a_proj": ("q_a_proj", "kv_a_proj_with_mqa"),
}
SHOWN = 4  # compact layer names in a message


class InspectedLayer(Protocol):
    """A layer of a checkpoint, by what is in its files."""

    @property
    def name(self) -> str: ...

    @property
    def sparse24(self) -> bool: ...


class Inspected(Protocol):
    """A checkpoint whose files were looked at: checkpoints.inspection.Inspection."""

    @property
    def layers(self) -> Sequence[InspectedLayer]: ...

    @property
    def sparse24(self) -> bool: ...


def sparse_problem(facts: EngineFacts, inspection: Inspected | None) -> tuple[str, str] | None:
    """Return (flag, message) where 2:4 weights ran dense in any layer, or where the log does not tell; else None.

    `inspection`: the checkpoint, where it was looked at. Its 2:4 layers must be named in the log; others do not
    count.
    """
    schemes = facts.schemes
    if not schemes:
        return _without_schemes(facts, facts.quantization)
    sparse = sum(entry.layers for name, entry in schemes.items() if name in SPARSE_SCHEMES)
    dense = {name: names for name, entry in schemes.items() if name not in SPARSE_SCHEMES
             and (names := _pruned(entry, inspection))}  # fmt: skip
    count = sum(number for number, _ in dense.values())
    if not count and (unnamed := _unnamed(schemes, inspection)):
        return "kernel_unknown", unnamed
    if not count:
        return None if sparse else ("kernel_unknown", "no layer with 2:4 sparse weights is named in the engine's log")
    where = "; ".join(f"{name}: {_listed(names)}" for name, (_, names) in dense.items())
    return "no_sparse_kernel", f"{count} of {sparse + count} layers with 2:4 sparse weights ran dense ({where})"


def _without_schemes(facts: EngineFacts, method: str | None) -> tuple[str, str] | None:
    if method in SPARSE_METHODS:
        return None
    if method == "none":
        return "no_sparse_kernel", "all layers with 2:4 sparse weights ran dense: vLLM logs quantization=None"
    if method and method != NAMES_LAYERS:
        return "no_sparse_kernel", f"all layers with 2:4 sparse weights ran dense: vLLM's {method} has no 2:4 kernels"
    if method and facts.names_schemes:
        return "no_sparse_kernel", "all layers with 2:4 sparse weights ran dense: vLLM names no scheme for any of them"
    engine = facts.label or "the engine"
    return "kernel_unknown", f"{engine} does not say whether its 2:4 kernels ran: its log names no scheme for a layer"


def _pruned(entry: LoggedScheme, inspection: Inspected | None) -> tuple[int, list[str]] | None:
    """(layers, compact names) without those whose weights are known not to be 2:4; None where none is left."""
    if inspection is None or not inspection.sparse24 or _abbreviated(entry):
        return entry.layers, list(entry.names)
    known = {layer.name: layer.sparse24 for layer in inspection.layers}
    kept = [layer for layer in expand(entry.names) if _may_be_24(layer, known)]
    return (len(kept), compact(kept)) if kept else None


def _may_be_24(layer: str, known: dict[str, bool]) -> bool:
    told = [known[name] for name in _in_files(layer, known)]
    return any(told) or not told


def _unnamed(schemes: Mapping[str, LoggedScheme], inspection: Inspected | None) -> str | None:
    """The 2:4 layers of the files that no scheme line names; None where there are none, or the names do not tell."""
    if inspection is None or any(_abbreviated(entry) for entry in schemes.values()):
        return None
    known = {layer.name: layer.sparse24 for layer in inspection.layers}
    logged = [layer for entry in schemes.values() for layer in expand(entry.names)]
    named = {name for layer in logged for name in _in_files(layer, known)}
    sparse = [name for name, is_24 in known.items() if is_24]
    missing = [name for name in sparse if name not in named]
    if not named or not missing:  # without a common name the engine uses other names than the files
        return None
    return (
        f"{len(missing)} of {len(sparse)} layers with 2:4 sparse weights are not named in the engine's log "
        f"({_listed(compact(missing))})"
    )


def _in_files(layer: str, known: Collection[str]) -> list[str]:
    """The files' names of a layer that the engine names: the same, those it fuses, or the experts below it.

    All layers beside it where it fuses others than FUSED says: which ones is not known.
    """
    parent, _, kind = layer.rpartition(".")
    if layer in known:
        return [layer]
    return (
        [name for part in FUSED.get(kind, ()) if (name := f"{parent}.{part}") in known]
        or [name for name in known if name.startswith(f"{layer}.")]
        or [name for name in known if parent and name.rpartition(".")[0] == parent]
    )


def _abbreviated(entry: LoggedScheme) -> bool:
    return any(name.startswith("and ") for name in entry.names)


def activation_problems(facts: EngineFacts, scheme: Scheme) -> Iterator[tuple[str, str]]:
    """(flag, message) for each way in which quantized activations were computed in another format."""
    if not quantized(scheme.activations):
        return
    said = f"the scheme says {words(scheme.activations)}"
    total = sum(entry.layers for entry in facts.schemes.values())
    for name, entry in facts.schemes.items():
        if SIXTEEN_BIT_SCHEME.search(name):
            text = f"activations stayed in 16 bit in {entry.layers} of {total} layers ({name}: "
            yield "activations_unquantized", f"{text}{_listed(list(entry.names))}); {said}"
        if name in ROUNDED_ONLY:
            text = "activations are rounded and multiplied in 16 bit; speeds are not representative"
            yield "emulated_kernel", f"{name}: {text}"
    ran: dict[str, list[str]] = {}
    for one in facts.kernels:
        if one.activations and not SIXTEEN_BIT_SCHEME.search(one.layer):
            ran.setdefault(one.activations, []).append(f"{one.kernel} for {one.layer}")
    for format, kernels in ran.items():
        by = ", ".join(dict.fromkeys(kernels))
        if format == SIXTEEN_BIT:
            yield "activations_unquantized", f"activations stayed in 16 bit ({by}); {said}"
        else:
            yield "activations_differ", f"activations were computed in {format} ({by}); {said}"


def cache_problem(facts: EngineFacts, wanted: str | None) -> tuple[str, str] | None:
    """`wanted`: the KV cache's format in words, where the variant quantizes it."""
    ran = facts.kv_cache_dtype
    if wanted is None or ran is None or not set(ran.split(", ")) & UNQUANTIZED_CACHES:
        return None
    return "kv_cache_unquantized", f"the KV cache was kept in {ran}; the variant says {wanted}"


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
