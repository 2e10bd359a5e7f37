"""A checkpoint from elsewhere against the version of the engine that will serve it."""

import json

import pytest

from harness import inspect
from harness.checkpoints.compatibility import config_overrides, problems, repair_words
from harness.checkpoints.model_config import ModelConfig, TokenizerConfig
from harness.checkpoints.served_files import ServedFiles
from harness.engines.releases import vllm_release

LLAMA = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 8}
ROPE = {"rope_type": "default", "rope_theta": 500000.0}
NESTED = {"full_attention": ROPE, "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}}
OLD, ROCM, MARLIN, NEW = (vllm_release(v) for v in ("0.18.1", "0.18.0+rocm700", "0.15.1", "0.32.0"))


def found(config: dict, release, tokenizer: dict | None = None, args=(), names=()) -> dict[str, tuple[str, str]]:
    """{code: (level, what)}"""
    read_tokenizer = None if tokenizer is None else TokenizerConfig.read(tokenizer)
    files = ServedFiles(ModelConfig.read(config), read_tokenizer, frozenset(names))
    return {problem.code: (problem.level, problem.what) for problem in problems(files, release, args)}


def overrides(config: dict, release=OLD) -> dict:
    return config_overrides(ServedFiles(ModelConfig.read(config)), release)


def test_versions_of_the_packages_that_releases_install():
    assert [vllm_release(v).transformers for v in ("0.12.0", "0.19.0", "0.19.1", "0.27.1")] == [4, 4, 5, 5]
    assert str(vllm_release("0.19.0").compressed_tensors) == "0.14.0.1"
    assert vllm_release("0.11.0") is None and vllm_release("main") is None
    assert vllm_release("0.20.0").architectures is None, "no wheel of it was read"
    assert OLD.architectures == ROCM.architectures != MARLIN.architectures


def test_what_such_a_release_writes_itself_is_read():
    tokenizer = {"tokenizer_class": "LlamaTokenizer", "extra_special_tokens": {}}
    config = {**LLAMA, "rope_theta": 500000.0, "rope_scaling": {"rope_type": "llama3", "factor": 8.0}}
    for release in (OLD, ROCM, MARLIN, NEW):
        assert found(config, release, tokenizer) == {}


@pytest.mark.parametrize("release", [OLD, ROCM, MARLIN], ids=lambda release: release.label)
def test_a_rotary_base_of_transformers_5_is_repaired_and_said(release):
    config = {**LLAMA, "rope_parameters": ROPE}
    assert overrides(config, release) == {"rope_theta": 500000.0}
    level, what = found(config, release)["misread_rope"]
    assert level == "note" and "rope_theta: 500000.0" in what
    assert overrides(config, NEW) == {} and found(config, NEW) == {}


def test_the_rotated_share_and_own_names_are_repaired_with_it():
    parameters = {**ROPE, "partial_rotary_factor": 0.5}
    assert overrides({**LLAMA, "rope_parameters": parameters}) == {"rope_theta": 500000.0, "partial_rotary_factor": 0.5}
    neox = {"architectures": ["GPTNeoXForCausalLM"], "model_type": "gpt_neox", "rope_parameters": parameters}
    assert overrides(neox)["rotary_emb_base"] == 500000.0 and overrides(neox)["rotary_pct"] == 0.5


def test_scaling_needs_nothing_more_because_vllm_takes_it_from_rope_parameters():
    scaled = {**ROPE, "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}
    assert overrides({**LLAMA, "rope_parameters": scaled}) == {"rope_theta": 500000.0}


@pytest.mark.parametrize(
    "beside", [{"rope_theta": 500000.0}, {"rope_scaling": {"rope_type": "linear", "factor": 2.0}}], ids=str
)
def test_a_checkpoint_with_both_forms_needs_no_repair(beside):
    config = {**LLAMA, "rope_parameters": ROPE, **beside}
    assert overrides(config) == {} and found(config, OLD) == {}


def test_a_base_that_contradicts_rope_parameters_is_repaired():
    assert overrides({**LLAMA, "rope_theta": 1.0, "rope_parameters": ROPE}) == {"rope_theta": 500000.0}


def test_a_text_config_is_repaired_where_vllm_has_read_it_already():
    text = {"model_type": "mistral", "rope_parameters": ROPE}
    config = {"architectures": ["Mistral3ForConditionalGeneration"], "model_type": "mistral3", "text_config": text}
    changed = {"rope_theta": 500000.0, "rope_parameters": {"rope_theta": 500000.0}}
    assert overrides(config) == {"text_config": changed}
    assert found(config, OLD)["misread_rope"][0] == "note"


def test_one_rope_per_layer_type_is_repaired_at_the_top_and_refused_below():
    gemma = {"architectures": ["Gemma3ForCausalLM"], "model_type": "gemma3_text", "rope_parameters": NESTED}
    assert overrides(gemma) == {"rope_theta": None} and found(gemma, OLD)["misread_rope"][0] == "note"
    pair = {"architectures": ["Gemma3ForConditionalGeneration"], "model_type": "gemma3", "text_config": gemma}
    assert overrides(pair) == {}
    level, what = found(pair, OLD)["misread_rope"]
    assert level == "error" and what.startswith("text_config.rope_parameters")
    assert found(pair, NEW) == {}


@pytest.mark.parametrize(
    "tokenizer",
    [
        {"tokenizer_class": "TokenizersBackend"},
        {"tokenizer_class": "ATokenizerOfTomorrow"},
        {"tokenizer_class": "LlamaTokenizer", "extra_special_tokens": ["<|a|>"]},
    ],
)
def test_a_tokenizer_that_transformers_4_cannot_read_is_refused(tokenizer):
    for release in (OLD, MARLIN):
        assert found(LLAMA, release, tokenizer)["unreadable_tokenizer"][0] == "error"
    assert found(LLAMA, NEW, tokenizer) == {}
    assert found(LLAMA, OLD, tokenizer, ["--tokenizer", "org/base"]) == {}, "another one is used"
    assert found(LLAMA, OLD, tokenizer, names=["tekken.json"]) == {}, "vLLM reads Mistral's own file"


@pytest.mark.parametrize("name", ["GPT2Tokenizer", "PreTrainedTokenizerFast", "CohereTokenizer", None])
def test_tokenizers_of_transformers_4_are_read(name):
    assert found(LLAMA, OLD, {"tokenizer_class": name}) == {}


def test_a_tokenizer_with_code_of_its_own_is_not_judged():
    assert found(LLAMA, OLD, {"tokenizer_class": "Mine", "auto_map": {"AutoTokenizer": ["mine.Mine", None]}}) == {}


def test_an_architecture_is_compared_with_the_models_of_that_version():
    new = {"architectures": ["Gemma4ForCausalLM"], "model_type": "gemma4_text"}
    assert found(new, OLD)["unknown_architecture"] == ("error", "vLLM 0.18.1 has no model Gemma4ForCausalLM")
    assert found(new, NEW) == {}
    assert found(new, vllm_release("0.20.0")) == {}, "not known, not said"
    assert found({**new, "auto_map": {"AutoModelForCausalLM": "m.M"}}, OLD) == {}
    backend = {"architectures": ["BitNetForCausalLM"], "model_type": "bitnet"}
    assert found(backend, OLD)["unknown_architecture"][0] == "caution", "transformers 4 has it"


CHANNEL = {"num_bits": 8, "type": "int", "strategy": "channel", "symmetric": True, "dynamic": False}


def quantized(weights: dict | None = None, group: dict | None = None, **more) -> dict:
    made = {"targets": ["Linear"], "weights": weights or CHANNEL, **(group or {})}
    return {
        **LLAMA,
        "quantization_config": {"quant_method": "compressed-tensors", "config_groups": {"g": made}, **more},
    }


@pytest.mark.parametrize(
    ("config", "refused_by", "read_by", "said"),
    [
        (quantized({**CHANNEL, "actorder": "static"}), ["0.18.1", "0.22.0"], ["0.23.0", "0.32.0"], "actorder static"),
        (quantized({**CHANNEL, "actorder": "group"}), ["0.18.1", "0.32.0"], [], "actorder group"),
        (
            quantized({**CHANNEL, "strategy": "tensor_group", "group_size": 16, "actorder": "weight"}),
            ["0.18.1"],
            ["0.19.0", "0.32.0"],
            "tensor_group",
        ),
        (quantized({**CHANNEL, "scale_dtype": None}), ["0.12.0"], ["0.15.1", "0.32.0"], "scale_dtype"),
        (quantized({**CHANNEL, "tomorrows": 1}), ["0.18.1", "0.32.0"], [], "the key tomorrows"),
        (quantized({**CHANNEL, "strategy": "spiral"}), ["0.18.1", "0.32.0"], [], "the strategy spiral"),
        (quantized(format="mxfp8-quantized"), ["0.18.1"], ["0.20.0", "0.32.0"], "the format mxfp8-quantized"),
        (quantized(group={"format": "mxfp4-pack-quantized"}), ["0.12.0"], ["0.18.1"], "the format mxfp4"),
        (quantized(format="marlin-24"), ["0.18.1"], ["0.15.1"], "marlin-24"),
        (quantized(kv_cache_scheme={**CHANNEL, "tomorrows": 1}), ["0.18.1"], [], "kv_cache_scheme"),
        (quantized(group={"input_activations": {**CHANNEL, "tomorrows": 1}}), ["0.18.1"], [], "input_activations"),
    ],
)
def test_quantization_arguments_of_a_later_format_are_refused(config, refused_by, read_by, said):
    for version in refused_by:
        level, what = found(config, vllm_release(version))["later_format"]
        assert level == "error" and said in what
    for version in read_by:
        assert found(config, vllm_release(version)) == {}


def test_text_configs_quantization_is_compared_too():
    inner = quantized({**CHANNEL, "actorder": "static"})
    config = {"architectures": ["Mistral3ForConditionalGeneration"], "text_config": inner}
    assert found(config, OLD)["later_format"][0] == "error"


@pytest.mark.parametrize(
    ("block", "level"),
    [
        ({"format": "dense", "sparsity_structure": "2:4", "targets": ["Linear"]}, "error"),
        ({"format": "sparse-24-bitmask", "sparsity_structure": "2:4"}, "error"),
        ({"format": "dense", "sparsity_structure": "2:4", "targets": []}, "caution"),
        ({}, None),
    ],
)
def test_sparsity_config_is_for_releases_before_0_19(block, level):
    config = quantized(sparsity_config=block)
    for version in ("0.15.1", "0.18.1"):
        assert found(config, vllm_release(version)) == {}
    for version in ("0.19.0", "0.32.0"):
        assert (found(config, vllm_release(version)).get("sparsity_config") or (None,))[0] == level


def test_other_methods_are_left_to_the_engine():
    assert found({**LLAMA, "quantization_config": {"quant_method": "awq", "bits": 4}}, OLD) == {}


@pytest.mark.parametrize("text", ["vllm=0.18", "vllm", "==0.18.1", "foo==1", "vllm==", "vllm==new", "VLLM 0.18.1"])
def test_a_bad_engine_is_one_line_and_exit_2(text, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["inspect", str(tmp_path), "--engine", text])
    assert inspect.main() == 2
    said = capsys.readouterr().err
    assert said.startswith(f"error: --engine {text}: ") and said.count("\n") == 1


def test_config_values_that_are_no_objects_are_not_fatal():
    odd = {
        "architectures": "Llama",
        "rope_parameters": [1],
        "text_config": 3,
        "quantization_config": {"config_groups": 1},
    }
    assert found(odd, OLD) == {} and json.dumps(overrides(odd)) == "{}"


ODD = (None, True, -1, 0.5, "", "128", [], [None], [{"a": 1}], {}, {"a": {"b": None}}, "\ud800")
WHOLE = {
    **LLAMA,
    "rope_parameters": {**ROPE, "factor": 2.0, "partial_rotary_factor": 0.5},
    "rope_scaling": None,
    "text_config": {"model_type": "gemma3_text", "rope_parameters": NESTED, "quantization_config": {"format": "x"}},
    "quantization_config": {
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "config_groups": {
            "group_0": {
                "targets": ["Linear"],
                "format": None,
                "weights": {"num_bits": 4, "group_size": 128, "actorder": "group", "strategy": None},
                "input_activations": None,
            }
        },
        "kv_cache_scheme": {"num_bits": 8, "strategy": "tensor"},
        "sparsity_config": {"format": "sparse-24-bitmask", "targets": ["Linear"]},
    },
}
TOKENIZER_CONFIG = {
    "tokenizer_class": "LlamaTokenizer",
    "extra_special_tokens": ["<a>"],
    "auto_map": {"AutoTokenizer": ["a", None]},
}


def with_odd_values(value: dict):
    """`value` with each of its values replaced by each odd one, at every depth."""
    for key, inner in value.items():
        yield from ({**value, key: odd} for odd in ODD)
        if isinstance(inner, dict):
            yield from ({**value, key: replaced} for replaced in with_odd_values(inner))


@pytest.mark.parametrize("release", [OLD, MARLIN, NEW], ids=lambda release: release.label)
def test_values_of_odd_types_never_raise(release):
    tried = [(config, TOKENIZER_CONFIG) for config in with_odd_values(WHOLE)]
    tried += [(WHOLE, tokenizer) for tokenizer in with_odd_values(TOKENIZER_CONFIG)]
    assert len(tried) > 400
    for config, tokenizer in tried:
        found(config, release, tokenizer)
        repair_words(overrides(config, release))


@pytest.mark.parametrize(("size", "refused"), [("128", False), (128, False), ("all", True), ([128], True)])
def test_a_group_size_is_read_as_the_engine_reads_it(size, refused):
    said = found(quantized({"num_bits": 4, "group_size": size}), OLD)
    assert ("later_format" in said) is refused
    assert not refused or f"does not know group_size {size!r}" in said["later_format"][1]
