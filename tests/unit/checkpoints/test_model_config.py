"""config.json is read once: sizes of the language model, whatever else the file holds."""

import json

import pytest

from harness.checkpoints.model_config import Decoder, ModelConfig, TokenizerConfig, read_file

LLAMA = {"model_type": "llama", "hidden_size": 64, "num_attention_heads": 4, "num_hidden_layers": 2}


def test_sizes_are_those_that_transformers_has_of_the_language_model():
    from transformers import LlamaConfig, LlavaConfig, MixtralConfig

    whole = LlavaConfig(text_config=LlamaConfig(**{k: v for k, v in LLAMA.items() if k != "model_type"}))
    ours, theirs = ModelConfig.read(whole.to_dict()), whole.get_text_config()
    decoder = ours.decoder
    assert decoder.model_type == theirs.model_type == "llama"
    for name in ("hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads", "num_hidden_layers",
                 "max_position_embeddings"):  # fmt: skip
        assert getattr(decoder, name) == getattr(theirs, name), name
    assert (ours.hidden_size, ours.num_hidden_layers) == (64, 2)
    mixtral = MixtralConfig(num_local_experts=4)
    assert ModelConfig.read(mixtral.to_dict()).decoder.experts == ("num_local_experts", 4)


@pytest.mark.parametrize("part", ["text_config", "llm_config", "language_config"])
def test_the_part_that_is_the_language_model(part):
    config = {"model_type": "vlm", "vision_config": {"hidden_size": 9}, part: LLAMA | {"tie_word_embeddings": True}}
    found = ModelConfig.read(config)
    assert found.decoder == ModelConfig.read(LLAMA).decoder and found.tied and found.hidden_size == 64


@pytest.mark.parametrize("odd", ["64", 64.0, True, 0, -1, 1 << 40, None, [64], {}])
def test_what_is_no_size_is_not_known(odd):
    assert ModelConfig.read({"num_attention_heads": odd, "text_config": odd}).decoder == Decoder()


def test_quantization_of_the_whole_or_of_the_language_model():
    assert ModelConfig.read({"quantization_config": {}, "text_config": {"quantization_config": {"a": 1}}}).quantization
    whole = {"quantization_config": {"a": 1}, "text_config": {"quantization_config": {"a": 2}}}
    assert ModelConfig.read(whole).quantization == {"a": 1}
    assert ModelConfig.read({"compression_config": {"a": 3}}).quantization == {"a": 3}


def test_code_that_comes_with_a_tokenizer():
    found = TokenizerConfig.read({"auto_map": {"AutoTokenizer": ["o/a--t.Slow", None]}, "extra_special_tokens": ["x"]})
    assert found.has_code and found.code == ("o/a--t.Slow",) and found.lists_extra_tokens
    assert TokenizerConfig.read({"auto_map": ["own.T"], "tokenizer_class": 3}) == TokenizerConfig(code=("own.T",))


def test_a_file_that_holds_no_object_is_refused(tmp_path):
    file = tmp_path / "config.json"
    file.write_text(json.dumps(LLAMA))
    assert read_file(file).decoder.hidden_size == 64
    file.write_text("[1]")
    with pytest.raises(ValueError, match="not a JSON object"):
        read_file(file)
