"""Mistakes of a recipe are told before anything is built, one line each."""

import json

import pytest

from harness.checkpoints import recipes
from harness.checkpoints.model_config import ModelConfig
from harness.checkpoints.prepare import Workshop, identity
from harness.config.variants import Format
from harness.engines.environment import EnvironmentConfig
from harness.errors import HarnessError

DATA = {"dataset": "org/chat", "samples": 8, "max_tokens": 64, "seed": 0}
RTN = {"method": "rtn", "scheme": "FP8_DYNAMIC"}
SPARSE = {"method": "wanda", "pattern": "2:4"}
SMOLLM = {"hidden_size": 576, "num_attention_heads": 9, "head_dim": 64, "intermediate_size": 1536}

MISTAKES = [
    ({"quantization": {**RTN, "method": "gtpq"}, "calibration": DATA}, "quantization.method: 'gtpq'", "mean 'gptq'"),
    ({"sparsity": {**SPARSE, "method": "magnitud"}}, "sparsity.method: 'magnitud'", "'magnitude'"),
    ({"quantization": {**RTN, "method": "autoround"}}, "cannot be made here", "variants.x.checkpoint="),
    ({"quantization": {**RTN, "method": "gptq"}}, "recipe.calibration: gptq must be measured on data", "{}"),
    ({"sparsity": SPARSE}, "recipe.calibration: wanda must be measured", "{}"),
    ({"sparsity": {**SPARSE, "pattern": "4:8"}, "calibration": DATA}, "pattern=4:8", "only 2:4"),
    ({"sparsity": SPARSE, "quantization": {**RTN, "method": "gptq"}, "calibration": DATA}, "2:4 is lost", "use rtn"),
    ({"quantization": {"method": "rtn"}}, "recipe.quantization: set scheme", "or weights"),
    ({"quantization": {**RTN, "weights": {"num_bits": 8}}}, "recipe.quantization: set scheme", "one of them"),
    ({"quantization": RTN, "smoothing": {"method": "smoothquant", "strength": 8.0}, "calibration": DATA},
     "smoothing.strength=8", "to 1"),
    ({"quantization": {**RTN, "kv_cache_scheme": {"num_bits": 8}}}, "the KV cache's scale", "{}"),
    ({"calibration": DATA}, "neither sparsity nor quantization", "recipe=null"),
    ({"quantization": RTN, "calibration": {**DATA, "samples": 0}}, "calibration.samples", "at least 1"),
]  # fmt: skip


@pytest.mark.parametrize(("recipe", "what", "do"), MISTAKES, ids=[what for _, what, _ in MISTAKES])
def test_a_mistake_is_one_line_that_says_where_and_what_to_do(recipe, what, do):
    (said,) = recipes.problems("x", recipe)
    assert said.startswith("variants.x.recipe") and what in said and do in said


def test_patterns_that_do_not_compile_are_named():
    assert recipes.ignore_problems("x", ["lm_head", "re:.*lm_head", "model.layers.*"]) == []
    for pattern in ("re:*lm_head", "re:.*(q_proj"):
        (said,) = recipes.ignore_problems("x", ["lm_head", pattern])
        assert said.startswith("variants.x.recipe.ignore: ") and pattern[3:] in said and "regular expression" in said


def test_static_activations_need_data():
    static, dynamic = Format(8, "float", "tensor"), Format(8, "float", "token", dynamic=True)
    assert "stored scale" in recipes.problems("x", {"quantization": RTN}, static)[0]
    assert recipes.problems("x", {"quantization": RTN}, dynamic) == []
    nvfp4 = Format(4, "float", "group", 16, dynamic=True, scale="e4m3")
    assert "stored scale" in recipes.problems("x", {"quantization": RTN}, nvfp4)[0], "its global scale is stored"


def misfit(recipe: dict | None, config: dict) -> str | None:
    return recipes.misfit(recipe, ModelConfig.read(config))


def w4a16(size: int, **more):
    return {"quantization": {"method": "rtn", "scheme": "W4A16", "group_size": size}, **more}


def test_groups_that_do_not_divide_the_models_layers_are_told_with_those_that_do():
    said = misfit(w4a16(128), SMOLLM)
    assert said == "group size 128 does not divide 576, the inputs of q_proj; 64 divides all of this model's"
    assert misfit(w4a16(64), SMOLLM) is None
    assert recipes.misfit(w4a16(128), None) is None and misfit(w4a16(128), {}) is None
    assert misfit(None, SMOLLM) is None


def test_only_layers_that_are_quantized_count():
    attention = w4a16(512, ignore=["re:.*lm_head", "re:.*self_attn.*", "re:.*gate_proj"])
    assert misfit(attention, SMOLLM) is None, "down_proj alone is left: 1536 inputs"


def test_a_mixture_of_experts_is_cut_along_its_experts():
    moe = {"text_config": {"hidden_size": 2048, "num_attention_heads": 32, "head_dim": 128, "intermediate_size": 6144,
                           "moe_intermediate_size": 704}}  # fmt: skip
    assert "704, the inputs of down_proj; 64 divides" in misfit(w4a16(128), moe)


def test_the_workshop_refuses_what_does_not_fit_before_it_builds(tmp_path):
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text(json.dumps(SMOLLM))
    (model / "model.safetensors").write_bytes(b"\2\0\0\0\0\0\0\0{}")
    workshop = Workshop(EnvironmentConfig(python="/nowhere"), tmp_path / "cache", tmp_path / "log", print)
    with pytest.raises(HarnessError, match="128 does not divide 576"):
        workshop.prepare(str(model), w4a16(128))
    assert not (tmp_path / "cache").exists()


def test_a_checkpoint_is_known_by_its_calibration(tmp_path):
    tools = EnvironmentConfig(install=["x==1"])
    known = {"dataset": "org/d", "split": "train", **DATA}

    def key(**more):
        return identity("org/model", {"quantization": RTN, "calibration": {**known, **more}}, tools)

    changes = [{"seed": 1}, {"samples": 9}, {"max_tokens": 65}, {"dataset": "org/e"}, {"revision": "abc"}]
    assert all(key(**change) != key() for change in changes)
    file = tmp_path / "chat.jsonl"
    file.write_text("{}")
    assert key(file=str(file)) == key(file=str(file), dataset="org/e"), "a file stands instead of the dataset"
