"""The shapes of a model's layers, from its config.json."""

import json

import pytest

from harness.checkpoints.model_config import Decoder, ModelConfig
from harness.checkpoints.prepare import Workshop
from harness.engines import engine_class
from harness.errors import HarnessError
from harness.gemm.cells import gemm_problems
from harness.gemm.shapes import LAYERS, layers
from harness.machine import host
from harness.sweeps.composing import compose

LLAMA_8B = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "num_hidden_layers": 32,
}
SMOLLM2 = LLAMA_8B | {"hidden_size": 576, "intermediate_size": 1536, "num_attention_heads": 9, "num_key_value_heads": 3}
MIXTRAL = LLAMA_8B | {"model_type": "mixtral", "num_local_experts": 8}
QWEN3 = LLAMA_8B | {"model_type": "qwen3", "head_dim": 256}  # heads x head_dim is not the hidden size


def decoder(config: dict) -> Decoder:
    return ModelConfig.read(config).decoder


def shapes(config, parallel=1):
    return {layer.name: (layer.n, layer.k) for layer in layers(decoder(config), list(LAYERS), parallel)}


def test_llama_8b_has_the_published_shapes():
    assert shapes(LLAMA_8B) == {
        "qkv_proj": (6144, 4096),
        "o_proj": (4096, 4096),
        "gate_up_proj": (28672, 4096),
        "down_proj": (4096, 14336),
    }
    assert {layer.count for layer in layers(decoder(LLAMA_8B), list(LAYERS))} == {32}
    assert shapes(SMOLLM2)["qkv_proj"] == (960, 576)
    assert shapes(QWEN3)["o_proj"] == (4096, 32 * 256)


def test_the_weights_are_those_that_the_simulated_engine_counts():
    from harness.engines.simulated.roofline import SHAPES

    per_layer = sum(layer.n * layer.k for layer in layers(decoder(LLAMA_8B), list(LAYERS)))
    assert 32 * per_layer == SHAPES["llama-3.1-8b"].linear_weights


def test_tensor_parallelism_shares_outputs_or_inputs():
    assert shapes(LLAMA_8B, 2) == {
        "qkv_proj": (3072, 4096),
        "o_proj": (4096, 2048),
        "gate_up_proj": (14336, 4096),
        "down_proj": (4096, 7168),
    }
    assert shapes(LLAMA_8B, 16)["qkv_proj"] == ((2 + 2) * 128, 4096), "each GPU has a copy of a KV head"


def test_a_vision_model_has_its_decoder_in_text_config():
    assert shapes({"model_type": "llava", "text_config": LLAMA_8B}) == shapes(LLAMA_8B)


@pytest.mark.parametrize(
    ("config", "parallel", "said"),
    [
        (MIXTRAL, 1, "num_local_experts=8: a mixture of experts"),
        ({"model_type": "gpt2", "n_embd": 768}, 1, "(gpt2) has no hidden_size, intermediate_size"),
        (SMOLLM2, 2, "gemm.tensor_parallel=2 does not divide its num_attention_heads=9"),
        (LLAMA_8B | {"num_key_value_heads": 6}, 4, "num_key_value_heads=6"),
    ],
)
def test_what_has_other_products_is_refused_by_name(config, parallel, said):
    with pytest.raises(HarnessError) as raised:
        layers(decoder(config), list(LAYERS), parallel)
    assert said in str(raised.value)


@pytest.fixture(autouse=True)
def a_gpu(monkeypatch):
    monkeypatch.setattr(host, "gpus_for", lambda engine: [{"name": "NVIDIA H100 80GB HBM3", "compute_capability": 9.0}])


def problems(model, tmp_path, *overrides):
    config = compose.compose_sweep(["+sweep=gemm", f"model={model}", *overrides])
    engine = engine_class(config.engine.kind)(config.engine, tmp_path)
    return gemm_problems(config, engine, Workshop(config.compression, tmp_path, tmp_path / "log", print))


def test_a_directory_needs_no_weights(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(LLAMA_8B))
    assert problems(tmp_path, tmp_path) == []
    (said,) = problems(tmp_path, tmp_path, "engine=vllm_cpu", "variant=[bf16,fp8_dynamic]")
    assert said == "variant fp8_dynamic: no fp8 products on device cpu; formats there: bf16, fp16, fp32, int8"


def test_preflight_names_what_a_model_lacks(tmp_path):
    (said,) = problems(tmp_path, tmp_path)
    assert said.startswith(f"model {tmp_path}: no config.json")
    (tmp_path / "config.json").write_text(json.dumps(MIXTRAL))
    (said,) = problems(tmp_path, tmp_path)
    assert "mixture of experts" in said
    (tmp_path / "config.json").write_text("{")
    (said,) = problems(tmp_path, tmp_path)
    assert "cannot be read" in said


def test_a_cuda_engine_wants_a_gpu(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text(json.dumps(LLAMA_8B))
    monkeypatch.setattr(host, "gpus_for", lambda engine: [])
    (said,) = problems(tmp_path, tmp_path)
    assert "set engine=vllm_cpu" in said


def test_an_engine_without_a_python_of_its_own_is_refused(tmp_path):
    (said,) = problems(tmp_path, tmp_path, "engine=simulated")
    assert said.startswith("engine simulated has no Python")
