"""A checkpoint of two shards, and the digests that one run leaves to the next."""

import json

import pytest

from harness.checkpoints.file_digests import Digests
from tests.unit.checkpoints.changes import safetensors


@pytest.fixture
def checkpoint(tmp_path):
    """Two shards with everything that an engine reads beside them."""
    folder = tmp_path / "model"
    (folder / "additional_chat_templates").mkdir(parents=True)
    shards = [f"model-0000{n}-of-00002.safetensors" for n in (1, 2)]
    for number, shard in enumerate(shards):
        safetensors(folder / shard, {f"layers.{number}.{name}": 1 for name in ("up", "down", "last")})
    texts = {
        "config.json": {"model_type": "llama", "architectures": ["LlamaForCausalLM"]},
        "generation_config.json": {"temperature": 0.6},
        "model.safetensors.index.json": {"weight_map": {"layers.0.up": shards[0], "layers.1.up": shards[1]}},
        "tokenizer.json": {"version": "1.0", "model": {"vocab": {"a": 0}}},
        "tokenizer_config.json": {"chat_template": "{{ messages }}"},
        "added_tokens.json": {"<tool>": 1},
        "adapter_config.json": {"r": 8},
    }
    for name, value in texts.items():
        (folder / name).write_text(json.dumps(value))
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    (folder / "additional_chat_templates" / "tools.jinja").write_text("{{ tools }}")
    (folder / "modeling_own.py").write_text("x = 1\n")
    (folder / "merges.txt").write_text("a b\n")
    safetensors(folder / "adapter_model.safetensors", {"lora_A": 1})
    (folder / "README.md").write_text("a model")
    return folder


@pytest.fixture
def digests(tmp_path):
    """What is remembered stays from one test step to the next, as between two runs."""
    return lambda: Digests(tmp_path / "cache")
