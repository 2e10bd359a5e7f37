"""A small mixture of experts as checkpoints of it are published."""

import numpy as np

from harness.catalogue import variants
from harness.checkpoints.inspection import inspect_checkpoint
from tests.unit.checkpoints import built

HIDDEN, INNER, EXPERTS = built.HIDDEN, built.INNER, 4
CATALOGUE = variants()
BLOCKS = {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": [128, 128]}
ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")


def w(*shape: int, sparse: bool = False) -> np.ndarray:
    return built.weights(sum(shape), shape, sparse)


def model(write, experts=None, layers: int = 2, router: str = "mlp.gate") -> built.Tensors:
    """A mixture of experts: attention, a router in BF16, and experts one by one."""
    found = {"model.embed_tokens.weight": built.bf16(w(64, HIDDEN)), "lm_head.weight": built.bf16(w(64, HIDDEN))}
    for n in range(layers):
        block = f"model.layers.{n}"
        for name in ATTENTION:
            found |= write(f"{block}.self_attn.{name}", w(HIDDEN, HIDDEN))
        found |= built.dense(f"{block}.{router}", w(EXPERTS, HIDDEN))
        for expert in range(EXPERTS):
            for name in ("gate_proj", "up_proj"):
                found |= (experts or write)(f"{block}.mlp.experts.{expert}.{name}", w(INNER, HIDDEN))
            found |= (experts or write)(f"{block}.mlp.experts.{expert}.down_proj", w(HIDDEN, INNER))
    return found


def said(quantization: dict | None, **more) -> dict:
    return {"architectures": ["MoeForCausalLM"], "hidden_size": HIDDEN, **more,
            **({"quantization_config": quantization} if quantization else {})}  # fmt: skip


def inspected(tmp_path, found: built.Tensors, quantization: dict | None, **more):
    return inspect_checkpoint(str(built.checkpoint(tmp_path / "c", "bf16", found, said(quantization, **more))))


def ct(targets: list[str], ignore: list[str] = ()) -> dict:
    made = built.compressed_tensors("float-quantized", built.FLOAT8, built.TOKEN)
    made["config_groups"]["group_0"]["targets"] = targets
    return made | {"ignore": list(ignore)}
