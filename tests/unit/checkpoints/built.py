"""Small checkpoints with the true layouts of the formats, written with numpy: 2 decoder layers, 256 wide."""

import json
import struct
from pathlib import Path

import numpy as np

HIDDEN, INNER, VOCAB, LAYERS = 256, 512, 64, 2
SHAPES = {
    "self_attn.q_proj": (HIDDEN, HIDDEN),
    "self_attn.k_proj": (64, HIDDEN),
    "self_attn.v_proj": (64, HIDDEN),
    "self_attn.o_proj": (HIDDEN, HIDDEN),
    "mlp.gate_proj": (INNER, HIDDEN),
    "mlp.up_proj": (INNER, HIDDEN),
    "mlp.down_proj": (HIDDEN, INNER),
}
NAMES = [f"model.layers.{n}.{name}" for n in range(LAYERS) for name in SHAPES]
DTYPES = {
    "F32": "<f4",
    "F16": "<f2",
    "I32": "<i4",
    "I64": "<i8",
    "U8": "u1",
    "I8": "i1",
    "BF16": "<u2",
    "F8_E4M3": "u1",
}
TOKEN = {"num_bits": 8, "type": "float", "strategy": "token", "symmetric": True, "dynamic": True}
ARGS = {"symmetric": True, "dynamic": False}

Tensors = dict[str, tuple[str, np.ndarray]]


def bf16(values: np.ndarray) -> tuple[str, np.ndarray]:
    return "BF16", (np.asarray(values, "<f4").view("<u4") >> 16).astype("<u2")


def fp8(values: np.ndarray) -> tuple[str, np.ndarray]:
    """E4M3 bit patterns of about these values: sign, exponent and mantissa of the float, zero kept zero."""
    bits = np.asarray(values, "<f4").view("<u4")
    exponent = ((bits >> 23) & 0xFF).astype(int) - 127 + 7
    code = np.clip(exponent, 1, 15) << 3 | ((bits >> 20) & 7).astype(int)
    code = np.minimum(code, 0x7E)  # 0x7f is NaN
    return "F8_E4M3", np.where(values == 0, 0, code | ((bits >> 24) & 0x80)).astype("u1")


def pack(values: np.ndarray, bits: int = 4) -> tuple[str, np.ndarray]:
    """compressed-tensors' pack_to_int32 along the last dimension: value + 2^(bits-1), the lowest bits first."""
    per_word = 32 // bits
    offset = (values + (1 << (bits - 1))).astype(np.uint64).reshape(*values.shape[:-1], -1, per_word)
    words = (offset << (np.arange(per_word, dtype=np.uint64) * bits)).sum(axis=-1)
    return "I32", words.astype("<u4").view("<i4")


def weights(seed: int, shape: tuple[int, int], sparse: bool = False) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=shape).astype("<f4")
    if sparse:
        quads = values.reshape(shape[0], -1, 4)
        smallest = np.argsort(np.abs(quads), axis=2)[:, :, :2]
        np.put_along_axis(quads, smallest, 0, axis=2)
    return values


def dense(name: str, w: np.ndarray) -> Tensors:
    return {f"{name}.weight": bf16(w)}


def fp8_channel(name: str, w: np.ndarray) -> Tensors:
    return {f"{name}.weight": fp8(w), f"{name}.weight_scale": bf16(np.full((len(w), 1), 0.01))}


def fp8_tensor(name: str, w: np.ndarray) -> Tensors:
    one = bf16(np.array([0.01]))
    return {f"{name}.weight": fp8(w), f"{name}.weight_scale": one, f"{name}.input_scale": one}


def fp8_block(name: str, w: np.ndarray) -> Tensors:
    blocks = np.full((-(-w.shape[0] // 128), -(-w.shape[1] // 128)), 0.01, "<f4")
    return {f"{name}.weight": fp8(w), f"{name}.weight_scale_inv": ("F32", blocks)}


def int8(name: str, w: np.ndarray) -> Tensors:
    scale = np.abs(w).max(axis=1, keepdims=True) / 127
    return {f"{name}.weight": ("I8", np.round(w / scale).astype("i1")), f"{name}.weight_scale": bf16(scale)}


def quantize4(w: np.ndarray, group: int) -> tuple[np.ndarray, np.ndarray]:
    grouped = w.reshape(len(w), -1, group)
    scale = np.abs(grouped).max(axis=2, keepdims=True) / 7
    return np.round(grouped / scale).reshape(w.shape).astype(int), scale[:, :, 0]


def int4(group: int):
    def packed(name: str, w: np.ndarray) -> Tensors:
        values, scale = quantize4(w, group)
        shape = ("I64", np.array(w.shape, "<i8"))
        return {
            f"{name}.weight_packed": pack(values),
            f"{name}.weight_scale": bf16(scale),
            f"{name}.weight_shape": shape,
        }

    return packed


def gptq(name: str, w: np.ndarray, group: int = 128) -> Tensors:
    """AutoGPTQ's v1: inputs packed down the rows, zero points stored less one."""
    values, scale = quantize4(w, group)
    out, inputs = w.shape
    words = pack(values)[1].T.copy()
    groups = inputs // group
    zeros = pack(np.full((groups, out), 7 - 8))[1]
    index = ("I32", (np.arange(inputs) // group).astype("<i4"))
    return {f"{name}.qweight": ("I32", words), f"{name}.qzeros": ("I32", zeros), f"{name}.g_idx": index,
            f"{name}.scales": ("F16", scale.T.astype("<f2").copy())}  # fmt: skip


def awq(name: str, w: np.ndarray, group: int = 128) -> Tensors:
    values, scale = quantize4(w, group)
    order = [0, 2, 4, 6, 1, 3, 5, 7]

    def interleaved(matrix: np.ndarray) -> tuple[str, np.ndarray]:
        return pack(matrix.reshape(len(matrix), -1, 8)[:, :, order].reshape(matrix.shape))

    zeros = interleaved(np.zeros((w.shape[1] // group, w.shape[0]), int))
    return {f"{name}.qweight": interleaved(values.T), f"{name}.qzeros": zeros,
            f"{name}.scales": ("F16", scale.T.astype("<f2").copy())}  # fmt: skip


def fp4(group: int, modelopt: bool = False):
    def packed(name: str, w: np.ndarray) -> Tensors:
        code = np.clip(np.round(np.abs(w) * 2), 0, 7).astype("u1") | ((w < 0).astype("u1") << 3)
        pairs = code[:, ::2] | (code[:, 1::2] << 4)
        scales = np.full((len(w), w.shape[1] // group), 0x38, "u1")
        found = {f"{name}.weight_scale": ("F8_E4M3" if group == 16 else "U8", scales)}
        if group == 16:
            found[f"{name}.{'weight_scale_2' if modelopt else 'weight_global_scale'}"] = ("F32", np.array([2.0], "<f4"))
            found[f"{name}.{'input_scale' if modelopt else 'input_global_scale'}"] = ("F32", np.array([2.0], "<f4"))
        return {f"{name}.{'weight' if modelopt else 'weight_packed'}": ("U8", pairs), **found}

    return packed


def bitmask(name: str, w: np.ndarray) -> Tensors:
    mask = np.packbits(w != 0, axis=1, bitorder="little")
    kept = fp8(w)[1][w != 0].reshape(len(w), -1)
    return {f"{name}.compressed": ("F8_E4M3", kept), f"{name}.bitmask": ("U8", mask),
            f"{name}.shape": ("I64", np.array(w.shape, "<i8")),
            f"{name}.weight_scale": bf16(np.full((len(w), 1), 0.01))}  # fmt: skip


def bnb8(name: str, w: np.ndarray) -> Tensors:
    scale = np.abs(w).max(axis=1)
    rows = np.round(w / scale[:, None] * 127).astype("i1")
    return {f"{name}.weight": ("I8", rows), f"{name}.SCB": ("F32", scale), f"{name}.weight_format": ("U8", np.zeros(1))}


def nf4(name: str, w: np.ndarray) -> Tensors:
    state = json.dumps({"quant_type": "nf4", "blocksize": 64, "shape": list(w.shape)}).encode()
    flat = np.full((w.size // 2, 1), 0x3C, "u1")
    return {f"{name}.weight": ("U8", flat), f"{name}.weight.absmax": ("F32", np.ones(w.size // 64)),
            f"{name}.weight.quant_map": ("F32", np.zeros(16)),
            f"{name}.weight.quant_state.bitsandbytes__nf4": ("U8", np.frombuffer(state, "u1"))}  # fmt: skip


def compressed_tensors(format: str, weights: dict, activations: dict | None, **more) -> dict:
    group = {"targets": ["Linear"], "weights": ARGS | weights, "input_activations": activations}
    return {"quant_method": "compressed-tensors", "format": format, "ignore": ["lm_head"],
            "config_groups": {"group_0": group}, **more}  # fmt: skip


def int_args(group: int) -> dict:
    return {"num_bits": 4, "type": "int", "strategy": "group", "group_size": group}


FLOAT8 = {"num_bits": 8, "type": "float", "strategy": "channel"}
BLOCK8 = {"num_bits": 8, "type": "float", "strategy": "block", "block_structure": [128, 128]}
SPARSITY = {"sparsity_structure": "2:4", "format": "dense", "ignore": ["lm_head"], "targets": ["Linear"]}
NVFP4 = {"num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": 16}
MXFP4 = {"num_bits": 4, "type": "float", "strategy": "group", "group_size": 32}

# name: (how a layer is written, quantization_config, 2:4 sparse)
KINDS = {
    "bf16": (dense, None, False),
    "sparse_bf16": (dense, None, True),
    "fp8": (fp8_channel, compressed_tensors("float-quantized", FLOAT8, TOKEN), False),
    "fp8_static": (
        fp8_tensor,
        compressed_tensors("float-quantized", FLOAT8 | {"strategy": "tensor"}, FLOAT8 | ARGS | {"strategy": "tensor"}),
        False,
    ),
    "fp8_block": (
        fp8_block,
        {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [128, 128]},
        False,
    ),
    "sparse_fp8": (fp8_channel, compressed_tensors("float-quantized", FLOAT8, TOKEN), True),
    "sparse_fp8_claimed": (
        fp8_channel,
        compressed_tensors("float-quantized", FLOAT8, TOKEN, sparsity_config=SPARSITY),
        True,
    ),
    "sparse_fp8_bitmask": (
        bitmask,
        compressed_tensors(
            "float-quantized", FLOAT8, TOKEN, sparsity_config=SPARSITY | {"format": "sparse-24-bitmask"}
        ),
        True,
    ),
    "int8": (
        int8,
        compressed_tensors("int-quantized", FLOAT8 | {"type": "int"}, TOKEN | {"type": "int"}),
        False,
    ),
    "int4_g64": (int4(64), compressed_tensors("pack-quantized", int_args(64), None), False),
    "int4_g128": (int4(128), compressed_tensors("pack-quantized", int_args(128), None), False),
    "sparse_int4": (int4(128), compressed_tensors("pack-quantized", int_args(128), None), True),
    "gptq": (gptq, {"quant_method": "gptq", "bits": 4, "group_size": 128, "sym": True, "desc_act": False}, False),
    "sparse_gptq": (gptq, {"quant_method": "gptq", "bits": 4, "group_size": 128, "sym": True}, True),
    "awq": (awq, {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True}, False),
    "sparse_awq": (awq, {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True}, True),
    "nvfp4": (fp4(16), compressed_tensors("nvfp4-pack-quantized", NVFP4, NVFP4 | ARGS | {"dynamic": "local"}), False),
    "nvfp4_modelopt": (
        fp4(16, modelopt=True),
        {"quant_method": "modelopt", "quant_algo": "NVFP4", "group_size": 16, "ignore": ["lm_head"]},
        False,
    ),
    "mxfp4": (fp4(32), compressed_tensors("mxfp4-pack-quantized", MXFP4, MXFP4 | ARGS | {"dynamic": True}), False),
    "llm_int8": (bnb8, {"quant_method": "bitsandbytes", "load_in_8bit": True}, False),
    "nf4": (nf4, {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}, False),
}


def tensors(kind: str) -> Tensors:
    write, _, sparse = KINDS[kind]
    found = {"model.embed_tokens.weight": bf16(weights(1, (VOCAB, HIDDEN)))}
    for index, name in enumerate(NAMES):
        shape = SHAPES[name.split(".", 3)[3]]
        found |= write(name, weights(100 + index, shape, sparse))
    for layer in range(LAYERS):
        found[f"model.layers.{layer}.input_layernorm.weight"] = bf16(np.ones(HIDDEN))
    return found | {"lm_head.weight": bf16(weights(2, (VOCAB, HIDDEN)))}


def config(kind: str) -> dict:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        **({"quantization_config": json.loads(json.dumps(KINDS[kind][1]))} if KINDS[kind][1] else {}),
    }


def write_file(path: Path, found: Tensors) -> None:
    header, data, at = {}, [], 0
    for name, (dtype, array) in found.items():
        raw = np.ascontiguousarray(array, DTYPES[dtype]).tobytes()
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [at, at + len(raw)]}
        data.append(raw)
        at += len(raw)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(data))


def checkpoint(
    folder: Path, kind: str, found: Tensors | None = None, said: dict | None = None, shards: int = 1
) -> Path:
    """A folder with config.json and the weights in one file, or in shards with their index."""
    folder.mkdir(parents=True, exist_ok=True)
    found = tensors(kind) if found is None else found
    (folder / "config.json").write_text(json.dumps(config(kind) if said is None else said))
    if shards == 1:
        write_file(folder / "model.safetensors", found)
        return folder
    weight_map = {}
    names = list(found)
    for shard in range(shards):
        file = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        part = {name: found[name] for name in names[shard::shards]}
        write_file(folder / file, part)
        weight_map |= dict.fromkeys(part, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return folder
