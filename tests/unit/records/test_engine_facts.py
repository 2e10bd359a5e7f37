"""An engine's facts, in each form in which stores have them."""

import json

import pytest

from harness.records.engine_facts import EngineFacts, LoggedScheme


@pytest.mark.parametrize(
    "form",
    [
        [{"layer": "Linear", "kernel": "marlin", "emulated": True}],
        {"Linear": {"kernel": "marlin", "emulated": True}},
    ],
)
def test_kernels_in_either_form(form):
    (kernel,) = EngineFacts.from_json({"kernels": form}).kernels
    assert (kernel.layer, kernel.kernel, kernel.emulated) == ("Linear", "marlin", True)


def test_kernels_as_plain_names():
    assert EngineFacts.from_json({"kernels": {"Linear": "marlin"}}).kernels[0].kernel == "marlin"
    assert EngineFacts.from_json({}).kernels == ()


def test_an_api_key_in_the_command_is_not_shown():
    words = EngineFacts.from_json({"command": ["serve", "--api-key", "sk-1", "--port", "1"]})
    assert words.command_text == "serve --api-key *** --port 1"
    assert "sk-1" not in EngineFacts.from_json({"command": "serve --api-key=sk-1"}).command_text


def test_schemes_as_counts_alone():
    facts = EngineFacts.from_json({"schemes": {"A": 3, "B": {"layers": 2, "names": ["x", "y"]}}})
    assert facts.schemes == {"A": LoggedScheme(3), "B": LoggedScheme(2, ("x", "y"))}


def test_nothing_is_recorded_of_no_engine():
    assert not EngineFacts.from_json(None).recorded and not EngineFacts.from_json({}).recorded
    assert EngineFacts.from_json({"kind": "vllm", "version": "0.32.0"}).label == "vllm 0.32.0"


VLLM = {
    **{"kind": "vllm", "device": "cuda", "command": ["vllm", "serve"], "log": "log", "ready_s": 41.2},
    **{"version": "0.18.1", "dtype": "bfloat16"},
    "kernels": [
        {"layer": "A", "kernel": "marlin", "emulated": False, "activations": "16 bit"},
        {"layer": "B", "kernel": "x", "emulated": True},
    ],
    "schemes": {"A": {"layers": 2, "names": ["x", "y"]}},
    **{"attention": ["FLASH_ATTN"], "quantization": "none", "kv_cache_dtype": "fp8"},
    "checkpoint": {
        **{"reference": "org/m", "location": "/m", "revision": None, "size_bytes": 7, "digest": "d"},
        "holds": {"sparse24": True},
    },
}
SIMULATED = {"kind": "simulated", "command": [], "version": "0.1.0", "kernels": [], "hardware": "h100", "axes": {}}


@pytest.mark.parametrize("stored", [VLLM, SIMULATED, VLLM | {"schemes": {}}])
def test_what_is_stored_is_stored_again_key_by_key(stored):
    assert json.dumps(EngineFacts.from_json(stored).to_json()) == json.dumps(stored)
    assert EngineFacts.from_json(EngineFacts.from_json(stored).to_json()) == EngineFacts.from_json(stored)


def test_a_log_that_could_name_schemes_and_names_none_is_told_from_one_that_could_not():
    could, could_not = EngineFacts("vllm", names_schemes=True), EngineFacts("vllm")
    assert could.to_json()["schemes"] == {} and "schemes" not in could_not.to_json()
