"""What a checkpoint says of itself: quantization_config in config.json (or ModelOpt's hf_quant_config.json), per layer.

One function a method, from its JSON to Claims; a method that is not known gives Claims that claim nothing of a layer.
"""

import fnmatch
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from harness.config import Format
from harness.schemes import GRANULARITIES


@dataclass(frozen=True)
class Claim:
    weights: Format
    activations: Format | None
    source: str  # the key that says it


@dataclass(frozen=True)
class Claims:
    """`groups`: [(targets, claim)], the first that matches a layer holds; `ignore`: layers left as they are."""

    method: str | None = None  # compressed-tensors, gptq, awq, bitsandbytes, fp8, mxfp4, modelopt; None: not quantized
    groups: tuple[tuple[tuple[str, ...], Claim], ...] = ()
    ignore: tuple[str, ...] = ()
    sparsity: str | None = None  # "2:4", from sparsity_config
    sparsity_format: str | None = None  # dense | sparse-24-bitmask | marlin-24
    sparsity_ignore: tuple[str, ...] = ()
    kv_cache: Format | None = None
    known: bool = True  # False: a method whose layers cannot be checked

    def of(self, layer: str) -> Claim | None:
        """What a linear layer should hold; None: unquantized."""
        if self.ignores(layer):
            return None
        return next((claim for targets, claim in self.groups if matches(layer, targets)), None)

    def ignores(self, layer: str) -> bool:
        return matches(layer, self.ignore)

    def sparse(self, layer: str) -> bool:
        return self.sparsity == "2:4" and not matches(layer, self.sparsity_ignore)


def matches(layer: str, patterns: tuple[str, ...]) -> bool:
    """compressed-tensors' rules: a class name, an exact name, or re:PATTERN; globs and name parts of the others."""
    for pattern in patterns:
        if pattern == "Linear":
            return True
        if pattern.startswith("re:"):
            if re.match(pattern[3:], layer):
                return True
        elif pattern.startswith("part:"):  # transformers' modules_to_not_convert: any part of the dotted name
            wanted = pattern[5:]
            if layer == wanted or layer.startswith(wanted + ".") or f".{wanted}." in f".{layer}.":
                return True
        elif layer == pattern or ("*" in pattern and fnmatch.fnmatchcase(layer, pattern)):
            return True
    return False


def read_claims(config: dict[str, Any], modelopt: dict[str, Any] | None = None) -> Claims:
    """Raises AttributeError, LookupError, TypeError or ValueError for a quantization_config of another form."""
    quantization = config.get("quantization_config") or config.get("compression_config")
    if quantization is None and isinstance(config.get("text_config"), dict):
        quantization = config["text_config"].get("quantization_config")
    if quantization is None and modelopt is not None:
        quantization = {"quant_method": "modelopt", **(modelopt.get("quantization") or {})}
    if not quantization:
        return Claims()
    method = str(quantization.get("quant_method") or "compressed-tensors").lower()
    if "quant_algo" in quantization:
        method = "modelopt"
    read = METHODS.get(method)
    claims = read(quantization) if read else Claims(method, known=False)
    for patterns in (claims.ignore, claims.sparsity_ignore, *(targets for targets, _ in claims.groups)):
        _check(patterns)
    for _, claim in claims.groups:
        for format in filter(None, (claim.weights, claim.activations)):
            _check_format(format)
    return claims


def _check_format(format: Format) -> None:
    sizes = [format.bits, *([format.group_size] if format.group_size is not None else []), *(format.block or [])]
    if not all(isinstance(size, int) and size > 0 for size in sizes) or len(format.block or [1, 1]) != 2:
        raise ValueError(f"impossible sizes: {format.bits} bits, group {format.group_size}, block {format.block}")
    if not isinstance(format.type, str) or format.granularity not in (None, *GRANULARITIES):
        raise ValueError(f"type {format.type!r}, strategy {format.granularity!r} are not known")


def _check(patterns: tuple[str, ...]) -> None:
    for pattern in patterns:
        if not isinstance(pattern, str):
            raise ValueError(f"{pattern!r} is no layer name")
        try:
            re.compile(pattern.removeprefix("re:") if pattern.startswith("re:") else "")
        except re.error as error:
            raise ValueError(f"{pattern!r}: {error}") from None


def _format(args: dict[str, Any] | None) -> Format | None:
    """compressed-tensors' QuantizationArgs as a Format."""
    if not args:
        return None
    strategy = args.get("strategy")
    group = args.get("group_size")
    group = group if group and group > 0 else None
    if strategy is None:
        strategy = "group" if group else "tensor"
    bits, kind = int(args.get("num_bits") or 8), args.get("type") or "int"
    scale = None
    if kind == "float" and bits == 4:
        scale = "e4m3" if strategy == "tensor_group" else "e8m0"
    elif kind == "float" and strategy == "group" and group == 32 and "uint8" in str(args.get("scale_dtype")):
        scale = "e8m0"
    granularity = {"tensor_group": "group", "attn_head": "channel"}.get(strategy, strategy)
    return Format(
        bits=bits,
        type=kind,
        granularity=granularity,
        group_size=group if granularity == "group" else None,
        block=_block(args.get("block_structure")) if granularity == "block" else None,
        symmetric=bool(args.get("symmetric", True)),
        dynamic=bool(args.get("dynamic", False)),
        scale=scale,
    )


def _block(structure: list[int] | str | None) -> list[int] | None:
    """[128, 128]; older releases wrote "128x128"."""
    sides = structure.split("x") if isinstance(structure, str) else structure
    return [int(side) for side in sides] if sides else None


def _compressed_tensors(q: dict[str, Any]) -> Claims:
    groups = []
    for name, group in (q.get("config_groups") or {}).items():
        weights = _format(group.get("weights"))
        if weights:
            claim = Claim(weights, _format(group.get("input_activations")), f"config_groups.{name}")
            groups.append((tuple(group.get("targets") or ("Linear",)), claim))
    sparsity = q.get("sparsity_config") or {}
    structure = str(sparsity.get("sparsity_structure") or "")
    if q.get("format") == "marlin-24":
        sparsity, structure = {"format": "marlin-24"}, "2:4"
    return Claims(
        "compressed-tensors",
        tuple(groups),
        tuple(q.get("ignore") or ()),
        "2:4" if structure.lower() in ("2:4", "two_four") else None,
        sparsity.get("format"),
        tuple(sparsity.get("ignore") or ()),
        _format(q.get("kv_cache_scheme")),
    )


def _one(method: str, claim: Claim, ignore: list[str], **more: Any) -> Claims:
    return Claims(method, ((("Linear",), claim),), tuple(ignore), **more)


def _grouped(bits: int, size: int | None, symmetric: bool) -> Format:
    whole = not size or size < 0
    return Format(bits, "int", "channel" if whole else "group", None if whole else size, symmetric=symmetric)


def _gptq(q: dict[str, Any]) -> Claims:
    weights = _grouped(int(q.get("bits", 4)), q.get("group_size", 128), bool(q.get("sym", True)))
    ignore = [] if q.get("lm_head") else ["re:.*lm_head"]
    return _one("gptq", Claim(weights, None, "quantization_config.bits, group_size"), ignore)


def _awq(q: dict[str, Any]) -> Claims:
    size = q.get("group_size", q.get("q_group_size", 128))
    weights = _grouped(int(q.get("bits", q.get("w_bit", 4))), size, not q.get("zero_point", True))
    ignore = ["re:.*lm_head", *_parts(q.get("modules_to_not_convert"))]
    return _one("awq", Claim(weights, None, "quantization_config.bits, group_size"), ignore)


def _parts(names: list[str] | None) -> list[str]:
    return [f"part:{name}" for name in names or []]


def _bitsandbytes(q: dict[str, Any]) -> Claims:
    ignore = _parts(q.get("llm_int8_skip_modules") or ["lm_head"])
    if q.get("load_in_4bit"):
        kind = "normal_float" if q.get("bnb_4bit_quant_type", "fp4") == "nf4" else "float"
        return _one("bitsandbytes", Claim(Format(4, kind, "group", 64), None, "load_in_4bit"), ignore)
    activations = Format(8, "int", "token", dynamic=True)
    return _one("bitsandbytes", Claim(Format(8, "int", "channel"), activations, "load_in_8bit"), ignore)


def _fp8(q: dict[str, Any]) -> Claims:
    block = q.get("weight_block_size")
    weights = Format(8, "float", "block", block=_block(block)) if block else Format(8, "float", "tensor")
    dynamic = q.get("activation_scheme", "dynamic") == "dynamic"
    granularity = "group" if block else "tensor"
    activations = Format(8, "float", granularity, block[1] if block else None, dynamic=dynamic)
    ignore = _parts(q.get("modules_to_not_convert") or q.get("ignored_layers") or ["lm_head"])
    return _one("fp8", Claim(weights, activations, "quantization_config.weight_block_size"), ignore)


def _fbgemm(q: dict[str, Any]) -> Claims:
    activations = Format(8, "float", "token", dynamic=True)
    ignore = _parts(q.get("modules_to_not_convert") or ["lm_head"])
    return _one("fbgemm_fp8", Claim(Format(8, "float", "channel"), activations, "quant_method"), ignore)


def _mxfp4(q: dict[str, Any]) -> Claims:
    """gpt-oss: only its fused experts, named by exception."""
    claim = Claim(Format(4, "float", "group", 32, scale="e8m0"), None, "quant_method")
    return Claims("mxfp4", ((("re:.*experts",), claim),), tuple(_parts(q.get("modules_to_not_convert"))))


def _modelopt(q: dict[str, Any]) -> Claims:
    algorithm = str(q.get("quant_algo") or "").upper()
    ignore = tuple(q.get("exclude_modules") or q.get("ignore") or ("lm_head",))
    cache = Format(8, "float", "tensor") if str(q.get("kv_cache_quant_algo") or "").upper() == "FP8" else None
    fp8, nvfp4 = Format(8, "float", "tensor"), Format(4, "float", "group", int(q.get("group_size") or 16), scale="e4m3")
    if algorithm == "FP8":
        claim = Claim(fp8, Format(8, "float", "tensor"), "quant_algo FP8")
    elif algorithm == "FP8_PER_CHANNEL_PER_TOKEN":
        claim = Claim(
            Format(8, "float", "channel"), Format(8, "float", "token", dynamic=True), f"quant_algo {algorithm}"
        )
    elif algorithm == "NVFP4":
        claim = Claim(nvfp4, Format(4, "float", "group", 16, dynamic=True, scale="e4m3"), "quant_algo NVFP4")
    else:
        return Claims(f"modelopt {algorithm}", known=False, ignore=ignore, kv_cache=cache)
    return Claims("modelopt", ((("Linear",), claim),), ignore, kv_cache=cache)


METHODS: dict[str, Callable[[dict[str, Any]], Claims]] = {
    "compressed-tensors": _compressed_tensors,
    "gptq": _gptq,
    "awq": _awq,
    "bitsandbytes": _bitsandbytes,
    "fp8": _fp8,
    "fbgemm_fp8": _fbgemm,
    "mxfp4": _mxfp4,
    "modelopt": _modelopt,
}
