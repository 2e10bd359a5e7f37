"""Checkpoints that our recipes make: a wheel loads all weights, has the right rotary base, and the same token ids."""

import json
import math
import re

import pytest
from transformers import AutoTokenizer

from tests.wheels import made
from tests.wheels.cases import CHATS, TEXTS, answers, made_here
from tests.wheels.expected import CHECKPOINTS, HOME

PAIRS = [(engine, name) for engine in CHECKPOINTS for name in made_here(engine, HOME[engine])]
MADE = pytest.mark.parametrize("engine,name", PAIRS, ids=[f"{engine}-{name}" for engine, name in PAIRS])
OF_CACHE = re.compile(r"\.attn\.(k|v|q|prob)_(scale|zero_point)$")  # vLLM's default where a checkpoint has none
UNUSED = {"sparse24_bf16": ("input_scale", "weight_scale")}  # CompressedTensors24 has them for 8-bit weights
STORED = {"fp8_kv": ("k_scale", "v_scale")}


@MADE
def test_all_weights_are_loaded(engine, name, check):
    check(engine, HOME[engine], f"weights of {name}")
    result = answers(engine, HOME[engine])[f"made.{name}"]
    assert result["error"] is None
    assert result["unknown"] == []
    missing = [one for one in result["not_loaded"] if not one.endswith(UNUSED.get(name, ()))]
    assert [one for one in missing if not OF_CACHE.search(one)] == []
    assert [one for one in missing if one.endswith(STORED.get(name, ()))] == [], "the calibrated scales are read"
    assert result["offered"], "the checkpoint has tensors"


@MADE
def test_the_rotary_embedding_is_the_models(engine, name, check):
    check(engine, HOME[engine], f"rotary base of {name}")
    (found,) = answers(engine, HOME[engine])[f"made.{name}"]["rotary"]
    base, kind, size = rope_of(name)
    assert found["base"] == base
    assert ("Llama3" in found["class"]) == (kind == "llama3")
    if kind == "default":
        half = size // 2
        angles = [1000 * base ** (-2 * at / size) for at in range(half)]
        wanted = [*map(math.cos, angles), *map(math.sin, angles)]
        assert found["cos_sin_of_1000"] == pytest.approx(wanted, abs=0.01)  # stored in BF16


def rope_of(name: str) -> tuple[float, str, int]:
    """(base, type, rotary dimensions) of the model that it was made from, as transformers 5 reads them."""
    if name == "imported":
        return 100000.0, "default", 64
    source = "dense_llama3" if name == made.LLAMA3 else "dense"
    config = json.loads((made.checkpoints() / source / "config.json").read_text())
    rope = config["rope_parameters"]
    return rope["rope_theta"], rope["rope_type"], config["head_dim"]


@MADE
def test_token_ids_are_those_of_the_harness(engine, name, check):
    check(engine, HOME[engine], f"tokens of {name}")
    theirs = answers(engine, HOME[engine])[f"tokens.{name}"]
    assert theirs["error"] is None
    ours = AutoTokenizer.from_pretrained(made.imported())
    assert theirs["texts"] == [ours(text).input_ids for text in TEXTS]
    chats = [ours.apply_chat_template(chat, add_generation_prompt=True, return_dict=True) for chat in CHATS]
    assert theirs["chats"] == [chat["input_ids"] for chat in chats]
