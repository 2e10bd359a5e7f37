"""From a scale's shape to what shares each scale: tensor, channel, group or block. Pure."""

from dataclasses import replace
from math import ceil, prod

from harness.checkpoints.inspection.layouts import Stored
from harness.config.variants import Format

BLOCK = (128, 128)  # DeepSeek-V3's, and everybody's since


def with_granularity(layer: Stored, claimed: Format | None) -> Format | None:
    """The layer's format with its scales' granularity. Where a shape fits two readings, the claimed one is taken.

    None: the scales fit no reading of the weights' shape.
    """
    if layer.layout in ("bnb4", "marlin_24"):
        return layer.format if layer.layout == "bnb4" else _marlin(layer)
    if layer.scale is None:
        return layer.format
    shape, (out, inputs) = layer.scale_shape, layer.matrix
    if layer.layout == "experts":
        return replace(layer.format, granularity="group", group_size=inputs // (layer.scale.shape[-1] or 1))
    if layer.layout in ("gptq", "awq"):
        groups = shape[0]
        return _grouped(layer.format, inputs, groups) if groups and inputs % groups == 0 else None
    if claimed is not None and fits(claimed, shape, layer.matrix):
        return replace(layer.format, granularity=claimed.granularity, group_size=claimed.group_size,
                       block=claimed.block)  # fmt: skip
    if prod(shape) == 1 or (layer.matrices > 1 and shape == (2,)):  # gate and up in one matrix, a scale each
        return replace(layer.format, granularity="tensor")
    if shape in ((out,), (out, 1)):
        return replace(layer.format, granularity="channel")
    if len(shape) == 2 and shape[0] == out and inputs % shape[1] == 0:
        return _grouped(layer.format, inputs, shape[1])
    if shape == tuple(ceil(size / side) for size, side in zip(layer.matrix, BLOCK, strict=True)):
        return replace(layer.format, granularity="block", block=list(BLOCK))
    return None


def _grouped(format: Format, inputs: int, groups: int) -> Format:
    if groups == 1:
        return replace(format, granularity="channel")
    return replace(format, granularity="group", group_size=inputs // groups)


def _marlin(layer: Stored) -> Format | None:
    groups = layer.scale.shape[0] if layer.scale else 0
    return _grouped(layer.format, layer.shape[1], groups) if groups and layer.shape[1] % groups == 0 else None


def fits(format: Format, scale: tuple[int, ...], shape: tuple[int, int]) -> bool:
    """Is this the shape of the scales of such a format, for weights (out, in)?"""
    out, inputs = shape
    if format.granularity == "tensor":
        return prod(scale) == 1
    if format.granularity == "channel":
        return scale in ((out,), (out, 1))
    if format.granularity == "group" and format.group_size:
        return inputs % format.group_size == 0 and scale == (out, inputs // format.group_size)
    if format.granularity == "block" and format.block:
        return scale == tuple(ceil(size / side) for size, side in zip(shape, format.block, strict=True))
    return False
