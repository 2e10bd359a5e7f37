"""What a reader of a cell must know about the engine that answered: simulated, emulated, or not run as named."""

from harness.checkpoints.inspection import Inspection
from harness.config.deployments import axes_of
from harness.config.schemes import words
from harness.config.variants import Variant
from harness.engines import Server
from harness.engines.executed import UNQUANTIZED_CACHES, activation_problems, cache_problem, sparse_problem
from harness.records.flag import Flag


def engine_flags(
    times: bool, server: Server, kind: str, inspection: Inspection | None, variant: Variant | None
) -> list[Flag]:
    """`times`: the cell's result is a speed; `kind`: of the sweep's engine; `inspection`: of the checkpoint that it
    serves, where it was looked at; `variant`: whose weights it serves, None for a judge's."""
    level = "caution" if times else "note"  # of a flag about speed
    flags = _kernel_flags(level, server) + simulated_flags(kind)
    if variant is None:
        return flags
    flags += widened_flags(level, server)
    if kind == "simulated":
        return flags
    return flags + _sparse_flags(level, server, inspection, variant) + _format_flags(server, variant)


def simulated_flags(kind: str) -> list[Flag]:
    message = "a simulated engine answered: this number is not that of a model"
    return [Flag("simulated", "caution", message)] if kind == "simulated" else []


def _kernel_flags(level: str, server: Server) -> list[Flag]:
    emulated = sorted({entry.kernel for entry in server.facts.kernels if entry.emulated})
    if not emulated:
        return []
    message = f"{', '.join(emulated)}: the scheme is emulated; speeds are not representative"
    return [Flag("emulated_kernel", level, message)]


def widened_flags(level: str, server: Server) -> list[Flag]:
    if server.facts.dtype != "float32":
        return []
    message = "16-bit values are widened and computed in FP32: the speed is that of FP32"
    return [Flag("fp32_compute", level, message)]


def _sparse_flags(level: str, server: Server, inspection: Inspection | None, variant: Variant) -> list[Flag]:
    if variant.scheme.sparsity != "2:4" and not (inspection and inspection.sparse24):
        return []
    found = sparse_problem(server.facts, inspection)
    return [Flag(found[0], level, found[1])] if found else []


def _format_flags(server: Server, variant: Variant) -> list[Flag]:
    """Formats that differ from the scheme; they change answers and speed alike."""
    found = [*activation_problems(server.facts, variant.scheme), cache_problem(server.facts, _cache_words(variant))]
    return [Flag(code, "caution", message) for code, message in filter(None, found)]


def _cache_words(variant: Variant) -> str | None:
    """The format in which a variant or its deployment keeps the KV cache; None: the model's own."""
    asked = axes_of(variant).kv_cache_dtype
    if asked is not None:
        return None if asked in UNQUANTIZED_CACHES else asked
    return words(variant.scheme.kv_cache) if variant.scheme.kv_cache else None
