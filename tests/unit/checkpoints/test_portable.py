"""The form in which checkpoints are written: read by transformers 4 and 5 and by older compressed-tensors."""

import json

import pytest

from harness.checkpoints.workers import portable
from harness.checkpoints.workers.portable import quantization, rope, tokenizer

LLAMA3 = {
    **{"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0},
    **{"high_freq_factor": 4.0, "original_max_position_embeddings": 8192},
}


def config(parameters: dict, model_type: str = "llama", **more) -> dict:
    return {"model_type": model_type, "rope_parameters": parameters, **more}


def test_the_rotary_base_is_written_beside_rope_parameters():
    given = config({"rope_type": "default", "rope_theta": 100000.0})
    assert rope.both_forms(given) == {**given, "rope_theta": 100000.0}


def test_scaling_is_written_without_the_base_and_the_rotated_share():
    written = rope.both_forms(config({**LLAMA3, "partial_rotary_factor": 0.5}))
    assert (written["rope_theta"], written["partial_rotary_factor"]) == (500000.0, 0.5)
    assert written["rope_scaling"] == {k: v for k, v in LLAMA3.items() if k != "rope_theta"}


def test_what_comes_with_a_default_rope_is_kept():
    written = rope.both_forms(config({"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]}))
    assert written["rope_scaling"] == {"rope_type": "default", "mrope_section": [16, 24, 24]}


def test_phi3_has_the_three_fields_that_its_older_class_takes():
    factors = {"short_factor": [1.0, 1.1], "long_factor": [2.0, 2.2]}
    given = {"rope_type": "longrope", "rope_theta": 10000.0, "original_max_position_embeddings": 4096, **factors}
    written = rope.both_forms(config(given, "phi3"))
    assert written["rope_scaling"] == {"type": "longrope", **factors}
    assert written["original_max_position_embeddings"] == 4096
    assert rope.both_forms(config(given))["rope_scaling"]["rope_type"] == "longrope"


def test_models_with_own_names_for_the_base_have_them_too():
    parameters = {"rope_type": "default", "rope_theta": 20000.0, "partial_rotary_factor": 0.25}
    written = rope.both_forms(config(parameters, "gpt_neox"))
    assert (written["rotary_emb_base"], written["rotary_pct"]) == (20000.0, 0.25)


GEMMA = {
    "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
    "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
}


def test_one_rope_per_layer_type_has_two_bases_also_in_text_config():
    written = rope.both_forms({"model_type": "gemma3", "text_config": config(GEMMA, "gemma3_text")})["text_config"]
    assert (written["rope_theta"], written["rope_local_base_freq"]) == (1e6, 10000.0)
    assert written["rope_scaling"] == {"rope_type": "linear", "factor": 8.0}
    assert written["rope_parameters"] == GEMMA
    plain = {kind: {"rope_type": "default", "rope_theta": 1e6} for kind in GEMMA}
    # vLLM with transformers 4 reads the nested object as a flat one where there is no rope_scaling, and does not start
    assert rope.both_forms(config(plain, "gemma3_text"))["rope_scaling"] == {"rope_type": "default"}


@pytest.mark.parametrize(
    ("parameters", "model_type"),
    [
        ({**GEMMA, "sliding_attention": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1.0}}, "gemma3_text"),
        (GEMMA, "olmo3"),  # whose older class has one base for both
        (GEMMA, "a_model_of_tomorrow"),
        ({"full_attention": {"rope_theta": 1.0}, "chunked_attention": {"rope_theta": 1.0}}, "gemma3_text"),
    ],
)
def test_what_older_fields_cannot_say_is_left_alone(parameters, model_type):
    given = config(parameters, model_type)
    assert rope.legacy_fields(given) is None
    assert rope.both_forms(given) == given


@pytest.mark.parametrize("given", [{}, {"rope_parameters": None}, {"rope_theta": 7.0}, {"rope_parameters": {}}])
def test_a_config_without_rope_parameters_is_unchanged(given):
    assert rope.both_forms(given) == given


def test_renamed_expert_counts_are_written_under_both_names():
    assert portable.renamed({"model_type": "qwen3_moe", "num_local_experts": 60})["num_experts"] == 60
    assert "num_experts" not in portable.renamed({"model_type": "mixtral", "num_local_experts": 8})


W8A8 = {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "channel", "group_size": None, "dynamic": False}
LATER = {"scale_dtype": None, "zp_dtype": None, "tomorrows_key": None}


def written(weights: dict, **more) -> dict:
    group = {"targets": ["Linear"], "weights": weights, "input_activations": {**W8A8, **LATER, "strategy": "token"}}
    return quantization.readable({"quant_method": "compressed-tensors", "config_groups": {"group_0": group}, **more})


@pytest.mark.parametrize("order", ["static", "weight", False])
@pytest.mark.parametrize("strategy", ["channel", "tensor_group", "block", None])
def test_an_order_of_calibration_is_dropped_where_older_releases_refuse_it(order, strategy):
    group = written({**W8A8, "strategy": strategy, "actorder": order})["config_groups"]["group_0"]
    assert group["weights"]["actorder"] is None


@pytest.mark.parametrize(("strategy", "order"), [("group", "static"), ("group", "group"), ("channel", "group")])
def test_an_order_that_older_releases_know_or_that_means_something_is_kept(strategy, order):
    weights = {**W8A8, "strategy": strategy, "group_size": 64, "actorder": order}
    assert written(weights)["config_groups"]["group_0"]["weights"]["actorder"] == order


def test_a_key_that_says_nothing_is_dropped_and_one_that_says_something_is_kept():
    found = written({**W8A8, **LATER, "zp_dtype": "torch.int8"}, kv_cache_scheme={**W8A8, **LATER})
    group = found["config_groups"]["group_0"]
    assert "scale_dtype" not in group["weights"] and group["weights"]["zp_dtype"] == "torch.int8"
    assert not set(LATER) & {*group["input_activations"], *found["kv_cache_scheme"]}
    assert group["weights"]["group_size"] is None, "null keys that every release knows stay"


def test_other_quantization_methods_are_not_touched():
    given = {"quant_method": "awq", "zp_dtype": None, "config_groups": None}
    assert quantization.readable(given) is given


def test_values_of_odd_types_are_kept_as_they_are():
    for groups in ([1], "FP8", {"group_0": "FP8_DYNAMIC"}, {"group_0": {"weights": "int8", "input_activations": [1]}}):
        given = {"config_groups": groups, "kv_cache_scheme": "fp8"}
        assert quantization.readable(given) == given
    assert written({**W8A8, "strategy": None, "group_size": "128", "actorder": "static"})["config_groups"]
    sizes = {"128": "group", "-1": "channel", 128.0: "group", None: "tensor", "all": "unknown", (1,): "unknown"}
    assert {size: quantization.strategy_of({"group_size": size}) for size in sizes} == sizes
    odd = {"model_type": ["llama"], "rope_parameters": {"rope_theta": "1e6", "rope_type": None, "factor": "8"}}
    assert rope.both_forms(portable.renamed(odd))["rope_scaling"] == {"rope_type": "default", "factor": "8"}


NEW = {
    **{"tokenizer_class": "TokenizersBackend", "backend": "tokenizers", "is_local": True, "local_files_only": False},
    **{"extra_special_tokens": ["<|a|>", "<|b|>"], "bos_token": "<s>"},
}


def test_a_tokenizer_of_transformers_5_gets_a_class_and_fields_that_both_know():
    assert tokenizer.readable(NEW, True) == {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "additional_special_tokens": ["<|a|>", "<|b|>"],
        "bos_token": "<s>",
    }


@pytest.mark.parametrize("given", [{"tokenizer_class": "LlamaTokenizer", "extra_special_tokens": {"image": "<i>"}}, {}])
def test_a_tokenizer_that_both_know_is_unchanged(given):
    assert tokenizer.readable(given, True) == given


ADDED = {"content": "<|a|>", "lstrip": False, "__type": "AddedToken"}


@pytest.mark.parametrize(
    ("additional", "extra", "unique"),
    [
        (None, ["<|a|>"], ["<|a|>"]),
        ("<|b|>", ["<|a|>", "<|b|>"], ["<|b|>", "<|a|>"]),
        ([ADDED, "<|b|>"], ["<|a|>", {**ADDED, "content": "<|c|>"}], [ADDED, "<|b|>", {**ADDED, "content": "<|c|>"}]),
        (["<|a|>"], [ADDED, None, 7, {"id": 1}], ["<|a|>"]),
        ({"a": 1}, [], []),
    ],
)
def test_extra_tokens_are_listed_once_whatever_their_form(additional, extra, unique):
    given = {"additional_special_tokens": additional, "extra_special_tokens": extra}
    assert tokenizer.readable(given, True) == {"additional_special_tokens": unique}


@pytest.mark.parametrize("text", ["[1]", "null", "{", '{"bos_token": "\\ud800"}', '"text"'])
def test_a_tokenizer_file_that_cannot_be_rewritten_is_left_as_it_is(tmp_path, capsys, text):
    (tmp_path / "tokenizer_config.json").write_text(text)
    tokenizer.make_readable(tmp_path, generic=True)
    assert (tmp_path / "tokenizer_config.json").read_text() == text
    assert "tokenizer_config.json left unchanged (" in capsys.readouterr().out


def test_the_sources_own_tokenizer_files_are_copied_and_repaired(tmp_path):
    source, out = tmp_path / "source", tmp_path / "out"
    (source / "additional_chat_templates").mkdir(parents=True)
    out.mkdir()
    files = ["tokenizer.json", "tokenizer.model", "special_tokens_map.json", "chat_template.jinja", "merges.txt"]
    for name in [*files, "additional_chat_templates/tools.jinja", "config.json", "model.safetensors", "README.md"]:
        (source / name).write_text(f"{name} of the source")
    (source / "tokenizer_config.json").write_text(json.dumps(NEW))
    portable.save_tokenizer(None, str(source), None, out)
    copied = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert copied == {*files, "tokenizer_config.json", "additional_chat_templates/tools.jinja"}
    assert (out / "tokenizer.json").read_text() == "tokenizer.json of the source"
    assert json.loads((out / "tokenizer_config.json").read_text())["tokenizer_class"] == "PreTrainedTokenizerFast"


def test_a_source_without_tokenizer_files_has_the_loaded_one_saved(tmp_path):
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir(), out.mkdir()
    (source / "tokenizer_config.json").write_text("{}")  # no vocabulary: no tokenizer

    class Loaded:
        def save_pretrained(self, folder):
            (folder / "tokenizer.json").write_text("saved")
            (folder / "tokenizer_config.json").write_text(json.dumps(NEW))

    portable.save_tokenizer(Loaded(), str(source), None, out)
    assert (out / "tokenizer.json").read_text() == "saved"
    assert "backend" not in json.loads((out / "tokenizer_config.json").read_text())


def test_config_json_is_rewritten_in_place(tmp_path):
    group = {"targets": ["Linear"], "weights": {**W8A8, "actorder": "static"}}
    made = config(
        LLAMA3, quantization_config={"quant_method": "compressed-tensors", "config_groups": {"group_0": group}}
    )
    (tmp_path / "config.json").write_text(json.dumps(made))
    portable.make_config_readable(tmp_path)
    found = json.loads((tmp_path / "config.json").read_text())
    assert found["rope_theta"] == 500000.0
    assert found["quantization_config"]["config_groups"]["group_0"]["weights"]["actorder"] is None
