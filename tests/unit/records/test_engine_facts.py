"""An engine's facts, in each form in which stores have them."""

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
