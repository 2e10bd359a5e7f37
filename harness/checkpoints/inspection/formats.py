"""What configurations say of a number format, as a Format."""

from harness.config.schemes import GRANULARITIES
from harness.config.variants import Format
from harness.untrusted.strict_json import JsonObject


def check_format(format: Format) -> None:
    sizes = [format.bits, *([format.group_size] if format.group_size is not None else []), *(format.block or [])]
    if not all(isinstance(size, int) and size > 0 for size in sizes) or len(format.block or [1, 1]) != 2:
        raise ValueError(f"impossible sizes: {format.bits} bits, group {format.group_size}, block {format.block}")
    if not isinstance(format.type, str) or format.granularity not in (None, *GRANULARITIES):
        raise ValueError(f"type {format.type!r}, strategy {format.granularity!r} are not known")


def quantization_args(args: JsonObject | None) -> Format | None:
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
        block=block_sides(args.get("block_structure")) if granularity == "block" else None,
        symmetric=bool(args.get("symmetric", True)),
        dynamic=bool(args.get("dynamic", False)),
        scale=scale,
    )


def block_sides(structure: list[int] | str | None) -> list[int] | None:
    """[128, 128]; older releases wrote "128x128"."""
    sides = structure.split("x") if isinstance(structure, str) else structure
    return [int(side) for side in sides] if sides else None


def grouped_integers(bits: int, size: int | None, symmetric: bool) -> Format:
    whole = not size or size < 0
    return Format(bits, "int", "channel" if whole else "group", None if whole else size, symmetric=symmetric)
