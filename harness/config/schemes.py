"""The words and sizes of a scheme: Format and Scheme of variants.py as the text that tables show. Pure."""

from typing import Any

from harness.config.variants import Format, Needs, Scheme
from harness.errors import did_you_mean

UNKNOWN = "unknown"
TYPES = ("bfloat", "float", "int", "normal_float")
GRANULARITIES = ("tensor", "channel", "token", "group", "block")
SCALES = ("e8m0", "e4m3")
ON_CPU = ("native", "emulated", "dense", "none")
NAMES = {("bfloat", 16): "bf16", ("float", 16): "fp16", ("float", 32): "fp32", ("float", 8): "fp8 e4m3"}
SCALED: dict[tuple[str, int, str | None], str] = {
    ("float", 4, "e8m0"): "mxfp4",
    ("float", 4, "e4m3"): "nvfp4",
    ("float", 8, "e8m0"): "mxfp8",
}


def number(format: Format) -> str:
    """``bf16``, ``fp8 e4m3``, ``int4``, ``nf4``, ``mxfp4``, ``nvfp4``."""
    if name := SCALED.get((format.type, format.bits, format.scale)) or NAMES.get((format.type, format.bits)):
        return name
    return {"normal_float": "nf", "float": "fp"}.get(format.type, format.type) + str(format.bits)


def words(format: Format) -> str:
    """``int4, symmetric, group 128``; ``fp8 e4m3, per token, dynamic``."""
    parts = [number(format)]
    if format.type == "int":
        parts.append("symmetric" if format.symmetric else "asymmetric")
    if format.granularity:
        parts.append(granularity_words(format))
        if format.granularity in ("tensor", "token"):
            parts.append("dynamic" if format.dynamic else "static")
        elif format.dynamic:
            parts.append("dynamic")
    return ", ".join(parts)


def granularity_words(format: Format) -> str:
    if format.granularity == "group":
        return f"group {format.group_size}"
    if format.granularity == "block":
        return "block " + "x".join(map(str, format.block or []))
    return f"per {format.granularity}"


def weight_words(format: Format) -> str:
    """Weights' scales are always stored, so nothing is said of it."""
    return words(format).removesuffix(", static")


def scheme_words(scheme: Scheme) -> dict[str, Any]:
    """What the manifest and its readers show: {"weights", "activations", "sparsity", "kv_cache"}."""
    return {
        "weights": weight_words(scheme.weights),
        "activations": words(scheme.activations),
        "sparsity": scheme.sparsity,
        "kv_cache": words(scheme.kv_cache) if scheme.kv_cache else None,
    }


def claimed_words(scheme: Scheme) -> dict[str, Any]:
    """`scheme_words` of what nobody has inspected: unknown, unless the sweep claims more than the default."""
    if scheme == Scheme():
        return {"weights": UNKNOWN, "activations": UNKNOWN, "sparsity": None, "kv_cache": None}
    said = scheme_words(scheme)
    return said | {"weights": f"{said['weights']} (not inspected)"}


def needs_words(needs: Needs) -> str:
    """``compute capability 9.0 and vllm<0.19``; empty for what runs anywhere."""
    parts = []
    if needs.compute_capability is not None:
        below = f" to below {needs.compute_capability_below}" if needs.compute_capability_below else ""
        parts.append(f"compute capability {needs.compute_capability}{below}")
    if needs.engine:
        parts.append(needs.engine)
    return " and ".join(parts)


def quantized(format: Format) -> bool:
    return format.bits < 16


def bits_per_weight(format: Format) -> float:
    """Return the bits per weight of a layer, with scales and zero points; scales per channel or tensor vanish."""
    if format.granularity != "group" or not format.group_size:
        return float(format.bits)
    scale_bits = 8 if format.scale else 16
    zero_bits = 0 if format.symmetric else format.bits
    return format.bits + (scale_bits + zero_bits) / format.group_size


def problems(scheme: Scheme, needs: Needs) -> list[str]:
    """Contradictions of a scheme in itself, each beginning with the key: ``weights.group_size: ...``."""
    found = []
    for name in ("weights", "activations", "kv_cache"):
        if (format := getattr(scheme, name)) is not None:
            found += [f"{name}.{text}" for text in _format_problems(format)]
    if scheme.weights.granularity == "token":
        found.append("weights.granularity: weights have no tokens; use tensor, channel, group or block")
    if scheme.sparsity not in (None, "2:4"):
        found.append(f"sparsity: {scheme.sparsity!r} is not known; use 2:4 or null")
    if needs.cpu not in ON_CPU:
        found.append(f"needs.cpu: {needs.cpu!r}{did_you_mean(needs.cpu, list(ON_CPU))}")
    return found


def _format_problems(format: Format) -> list[str]:
    found = []
    if format.type not in TYPES:
        found.append(f"type: {format.type!r}{did_you_mean(format.type, list(TYPES))}")
    if format.granularity is not None and format.granularity not in GRANULARITIES:
        found.append(f"granularity: {format.granularity!r}{did_you_mean(format.granularity, list(GRANULARITIES))}")
    if format.scale not in (None, *SCALES):
        found.append(f"scale: {format.scale!r}{did_you_mean(format.scale, list(SCALES))}")
    if (format.granularity == "group") != bool(format.group_size):
        found.append("group_size: set it with granularity group, and only then")
    if (format.granularity == "block") != bool(format.block):
        found.append("block: set [out, in] with granularity block, and only then")
    if quantized(format) and format.granularity is None:
        found.append("granularity: a number below 16 bits has scales; say what shares one")
    return found
