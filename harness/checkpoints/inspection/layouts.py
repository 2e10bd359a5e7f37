"""How a layer's weights lie in the file: which tensors belong to it, what they hold, which of the values are zero.

`stored(...)` names the layout from the tensors alone, whatever config.json says:
    plain       weight (out, in) in BF16, F16, F32, FP8 E4M3 or INT8; bitsandbytes' 8-bit weights too (scales in SCB)
    packed      compressed-tensors pack-quantized: weight_packed (out, in * bits / 32) int32, value + 2^(bits-1)
    gptq        qweight (in * bits / 32, out) int32, qzeros, scales (groups, out)
    awq         qweight (in, out * bits / 32) int32, interleaved by [0, 2, 4, 6, 1, 3, 5, 7] like its qzeros
    fp4         weight_packed or weight (out, in / 2) uint8, two E2M1 a byte, scales (out, in / 16 or 32)
    bitmask     compressed-tensors sparse-24-bitmask: bitmask (out, in / 8) says where the compressed values are
    marlin_24   weight_packed, scale_packed, meta: 2:4 by construction
    bnb4        bitsandbytes NF4 or FP4, flat, blocks of `absmax`
    experts     the fused experts of gpt-oss: NAME_blocks, NAME_scales in MXFP4

Fused experts are one tensor (experts, out, in), or (experts, in, out) with the inputs first, of any layout: NAME itself
or NAME.weight, and what belongs to it as NAME_scale, NAME.weight_scale and so on.
"""

import re
from dataclasses import dataclass, replace
from math import ceil

from harness.checkpoints.inspection.files import BITS, Container, Tensor
from harness.config.variants import Format
from harness.untrusted import strict_json

PARTS = re.compile(
    r"^(?P<module>.+?)\.(?P<part>weight(?:_packed|_scale(?:_inv|_2)?|_global_scale|_zero_point|_shape|_g_idx|_format)?"
    r"|weight\.(?:absmax|quant_map|nested_absmax|nested_quant_map|quant_state\..+|compressed|bitmask|shape)"
    r"|bias|input_(?:scale|zero_point|global_scale)|activation_scale|output_scale|[kvq]_scale|qweight|qzeros|scales|g_idx"
    r"|compressed|bitmask|shape|meta|scale_packed|SCB)$"
)
BLOCKS = re.compile(r"^(?P<module>.+)_(?P<part>blocks|scales)$")
FUSED = re.compile(
    r"^(?P<module>.*experts?\.(?:.+?))_(?P<part>bias|blocks|scales|qweight|qzeros|g_idx|weight"
    r"|(?:weight_)?(?:packed|scale(?:_inv|_2)?|global_scale|zero_point|shape)|(?:input|activation)_scale"
    r"|input_global_scale)$"
)
EXPERTS = re.compile(r"expert|moe|\.(?:in|out)put_linear\b", re.IGNORECASE)
INPUTS_ARE_HIDDEN = re.compile(r"^(?:gate_up_proj|gate_proj|up_proj|w1|w3|w13|v1|input_linear)$")
OUTPUTS_ARE_HIDDEN = re.compile(r"^(?:down_proj|w2|output_linear)$")
NO_WEIGHT = ("bias", "input_scale", "activation_scale", "input_zero_point", "input_global_scale", "output_scale",
             "k_scale", "v_scale", "q_scale")  # fmt: skip
FLOATS = {"BF16": Format(16, "bfloat"), "F16": Format(16, "float"), "F32": Format(32, "float")}
HELD = (*FLOATS, "F8_E4M3", "F8_E5M2", "I8", "U8", "F4")  # what a tensor of experts may hold
EMBEDDINGS = re.compile(r"embed|^wte$|^wpe$", re.IGNORECASE)


@dataclass(frozen=True)
class Stored:
    """One layer's weights. `format` has no granularity yet: that takes the scale's shape (granularity.py)."""

    name: str
    layout: str
    format: Format
    shape: tuple[int, int]  # out, in
    parts: dict[str, Tensor]
    weight: Tensor
    scale: Tensor | None = None
    matrices: int = 1  # experts in one tensor; the rows of all of them are in `shape`
    inputs_first: bool = False  # the tensor is (experts, in, out)

    @property
    def matrix(self) -> tuple[int, int]:
        return self.shape[0] // max(1, self.matrices), self.shape[1]

    @property
    def scale_shape(self) -> tuple[int, ...]:
        """The scales of one matrix (out, in)."""
        if self.scale is None:
            return ()
        if self.matrices == 1 or self.scale.shape[:1] != (self.matrices,):
            return self.scale.shape
        one = self.scale.shape[1:]
        return one[::-1] if self.inputs_first else one

    @property
    def kind(self) -> str:
        """q_proj, down_proj, lm_head, ...: the last part of the name that is no number."""
        return next((part for part in reversed(self.name.split(".")) if not part.isdigit()), self.name)

    @property
    def embedding(self) -> bool:
        return bool(EMBEDDINGS.search(self.kind))

    @property
    def bytes(self) -> int:
        """Weights, scales, zero points and indices; not biases nor activation scales."""
        return sum(tensor.bytes for part, tensor in self.parts.items() if part not in NO_WEIGHT)

    @property
    def count(self) -> int:
        return self.shape[0] * self.shape[1]

    @property
    def quantized(self) -> bool:
        return self.format.bits < 16


def modules(container: Container) -> dict[str, dict[str, Tensor]]:
    """{module: {part: tensor}}; a tensor of no known part is a module by itself, part ''."""
    found: dict[str, dict[str, Tensor]] = {}
    names = container.tensors
    for name, tensor in names.items():
        module, part = _split(name, tensor)
        if part == "shape" and "weight.shape" not in name and f"{module}.bitmask" not in names:
            module, part = name, ""
        found.setdefault(module, {})[part] = tensor
    return found


def _split(name: str, tensor: Tensor) -> tuple[str, str]:
    if match := PARTS.match(name):
        return match["module"], match["part"].removeprefix("weight.")
    if match := FUSED.match(name) or BLOCKS.match(name):
        part = match["part"]
        return match["module"], f"weight_{part}" if part.startswith(("scale_", "packed", "global", "zero", "shape")) \
            or part == "scale" else part  # fmt: skip
    return name, "weight" if tensor.dtype in HELD and _holds_experts(name, tensor) else ""


def _holds_experts(name: str, tensor: Tensor) -> bool:
    """A tensor of all experts without a part in its name. DBRX has their rows in one matrix."""
    if len(tensor.shape) == 3:
        return re.search(r"experts?\.", name) is not None and not name.endswith("bias")
    return len(tensor.shape) == 2 and re.search(r"experts\.mlp\.(?:w1|v1|w2)$", name) is not None


def stored(container: Container, name: str, parts: dict[str, Tensor], hidden: int | None = None) -> Stored | None:
    """None for what holds no matrix: norms, biases, KV scales, convolutions. Raises ValueError for a broken layout.

    `hidden`: the model's width, which tells the inputs of fused experts from their outputs.
    """
    if "blocks" in parts and "scales" in parts:
        blocks = parts["blocks"]
        out = blocks.count // (blocks.shape[-1] * blocks.shape[-2])
        shape = (out, blocks.shape[-2] * blocks.shape[-1] * 2)
        return Stored(name, "experts", Format(4, "float", scale="e8m0"), shape, parts, blocks, parts["scales"],
                      blocks.shape[0] if len(blocks.shape) > 3 else 1)  # fmt: skip
    weight = next((parts[part] for part in ("weight", "weight_packed", "qweight") if part in parts), None)
    if weight is not None and len(weight.shape) == 3 and "absmax" not in parts:
        return _fused(container, name, parts, weight, hidden)
    return _one(container, name, parts)


def _fused(
    container: Container, name: str, parts: dict[str, Tensor], weight: Tensor, hidden: int | None
) -> Stored | None:
    """Determine the layout from the first matrix; the others follow it in the same tensor."""
    scaled = any("scale" in part for part in parts)
    if not (EXPERTS.search(name) or scaled) or "conv" in name.rpartition(".")[2] or not weight.count:
        return None
    experts = weight.shape[0]

    def one(tensor: Tensor) -> Tensor:
        shared = tensor.shape[:1] != (experts,)
        return tensor if shared else replace(tensor, shape=tensor.shape[1:])

    layer: Stored | None
    if "weight_shape" in parts:  # (experts, out, in) or (out, in), in eight bytes each
        raw = container.data(parts["weight_shape"])
        parts = {part: tensor for part, tensor in parts.items() if part != "weight_shape"}
        inputs = int.from_bytes(raw[-8:], "little")
        layer = _packed_words(name, {part: one(tensor) for part, tensor in parts.items()}, weight.shape[1], inputs)
    else:
        layer = _one(container, name, {part: one(tensor) for part, tensor in parts.items()})
    if layer is None:
        return None
    scale = next((tensor for part, tensor in parts.items() if layer.parts[part] is layer.scale), None)
    layer = replace(layer, parts=parts, weight=weight, scale=scale, matrices=experts,
                    shape=(experts * layer.shape[0], layer.shape[1]))  # fmt: skip
    if layer.layout == "plain" and _inputs_first(layer, hidden):
        rows, columns = layer.matrix
        layer = replace(layer, shape=(experts * columns, rows), inputs_first=True)
    return layer


def _inputs_first(layer: Stored, hidden: int | None) -> bool:
    """By the scales of channels, else by which side is as wide as the model. Where neither tells: outputs first."""
    first, second = layer.matrix
    if first != second and layer.scale is not None:
        if layer.scale_shape in ((first, 1), (first,)):
            return False
        if layer.scale_shape in ((1, second), (second,)):
            return True
    if hidden is None or (first == hidden) == (second == hidden):
        return False
    if INPUTS_ARE_HIDDEN.match(layer.kind):
        return first == hidden
    return bool(OUTPUTS_ARE_HIDDEN.match(layer.kind)) and second == hidden


def _one(container: Container, name: str, parts: dict[str, Tensor]) -> Stored | None:
    if "qweight" in parts:
        return _gptq_or_awq(name, parts)
    if "bitmask" in parts and "compressed" in parts:
        mask, values = parts["bitmask"], parts["compressed"]
        shape = (mask.shape[0], mask.shape[1] * 8)
        return Stored(name, "bitmask", _plain_format(values), shape, parts, mask, parts.get("weight_scale"))
    if "weight_packed" in parts:
        return _packed(container, name, parts)
    weight = parts.get("weight")
    if weight is None or (len(weight.shape) != 2 and "absmax" not in parts):
        return None
    if "absmax" in parts:
        return _bnb4(container, name, parts)
    scale = next((parts[part] for part in ("weight_scale", "weight_scale_inv", "SCB") if part in parts), None)
    if weight.dtype in ("U8", "F4") and scale is not None:
        per_byte = 2 if weight.dtype == "U8" else 1
        shape = (weight.shape[0], weight.shape[1] * per_byte)
        return Stored(name, "fp4", Format(4, "float", scale=_scale_of(scale)), shape, parts, weight, scale)
    return Stored(name, "plain", _plain_format(weight), (weight.shape[0], weight.shape[1]), parts, weight, scale)


def _plain_format(tensor: Tensor) -> Format:
    if tensor.dtype in FLOATS:
        return replace(FLOATS[tensor.dtype])
    return Format(BITS[tensor.dtype], "float" if tensor.dtype.startswith("F") else "int")


def _scale_of(scale: Tensor) -> str | None:
    return {"F8_E4M3": "e4m3", "U8": "e8m0", "F8_E8M0": "e8m0"}.get(scale.dtype)


def _packed(container: Container, name: str, parts: dict[str, Tensor]) -> Stored:
    weight = parts["weight_packed"]
    if "meta" in parts:  # (in / 16, out * bits / 2): 16 inputs a tile, half of them kept
        scale = parts.get("scale_packed")
        out = scale.shape[-1] if scale else weight.shape[1] // 2
        return Stored(name, "marlin_24", Format(4, "int"), (out, weight.shape[0] * 32), parts, weight, scale)
    scale = parts.get("weight_scale")
    if weight.dtype == "U8":
        shape = (weight.shape[0], weight.shape[1] * 2)
        return Stored(
            name, "fp4", Format(4, "float", scale=_scale_of(scale) if scale else None), shape, parts, weight, scale
        )
    if "weight_shape" not in parts:
        raise ValueError("weight_packed without the weight_shape that says how many values it holds")
    width = 8 if parts["weight_shape"].dtype == "I64" else 4
    raw = container.data(parts["weight_shape"])
    out, inputs = (int.from_bytes(raw[i * width : (i + 1) * width], "little") for i in range(2))
    return _packed_words(name, parts, out, inputs)


def _packed_words(name: str, parts: dict[str, Tensor], out: int, inputs: int) -> Stored:
    weight = parts["weight_packed"]
    bits = weight.shape[1] * 32 // max(1, inputs)
    if bits not in range(2, 9) or out != weight.shape[0] or ceil(inputs * bits / 32) != weight.shape[1]:
        raise ValueError(f"weight_packed {list(weight.shape)} does not hold the [{out}, {inputs}] of weight_shape")
    format = Format(bits, "int", symmetric="weight_zero_point" not in parts)
    return Stored(name, "packed", format, (out, inputs), parts, weight, parts.get("weight_scale"))


def _gptq_or_awq(name: str, parts: dict[str, Tensor]) -> Stored:
    weight, scales, zeros = parts["qweight"], parts.get("scales"), parts.get("qzeros")
    if scales is None or zeros is None or len(scales.shape) != 2 or len(zeros.shape) != 2:
        raise ValueError("qweight without scales and qzeros")
    out = scales.shape[1]
    bits = zeros.shape[1] * 32 // out
    if bits not in (2, 3, 4, 8):
        raise ValueError(f"qzeros {list(zeros.shape)} do not fit scales {list(scales.shape)}")
    layout = "gptq" if weight.shape[1] == out else "awq"
    inputs = weight.shape[0] * 32 // bits if layout == "gptq" else weight.shape[0]
    if layout == "awq" and weight.shape[1] * 32 != out * bits:
        raise ValueError(f"qweight {list(weight.shape)} does not fit scales {list(scales.shape)}")
    return Stored(name, layout, Format(bits, "int"), (out, inputs), parts, weight, scales)


def _bnb4(container: Container, name: str, parts: dict[str, Tensor]) -> Stored:
    state = next((part for part in parts if part.startswith("quant_state.")), "")
    try:
        facts = strict_json.parse_object(container.data(parts[state])) if state else {}
    except ValueError:
        facts = {}
    weight = parts["weight"]
    shape = tuple(facts.get("shape") or (1, weight.count * 2))
    block = int(facts.get("blocksize") or 64)
    kind = "normal_float" if "nf4" in state else "float"
    return Stored(name, "bnb4", Format(4, kind, "group", block), shape, parts, weight, parts["absmax"])
