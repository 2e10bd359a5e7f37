"""`--hf-overrides`: what a checkpoint needs, merged with what the user says."""

import json

import pytest

from harness.engines.hf_overrides import FLAG, merge
from harness.errors import ConfigError

ROPE = {"rope_theta": 100000.0}


def overrides(args: list[str]) -> dict:
    assert args.count(FLAG) == 1
    return json.loads(args[args.index(FLAG) + 1])


def test_nothing_to_add_changes_no_argument():
    given = ["--enforce-eager", FLAG, "{not JSON: vLLM's own error}"]
    assert merge(given, {}) == given


def test_an_override_is_added_once_behind_the_other_arguments():
    assert merge(["--max-num-seqs", "8"], ROPE) == ["--max-num-seqs", "8", FLAG, '{"rope_theta": 100000.0}']


@pytest.mark.parametrize(
    "given",
    [
        [FLAG, '{"rope_theta": 5, "a": {"b": 1}}', "--enforce-eager"],
        ['--hf-overrides={"rope_theta": 5, "a": {"b": 1}}', "--enforce-eager"],
        ["--hf_overrides", '{"rope_theta": 5, "a": {"b": 1}}', "--enforce-eager"],
        ["--hf-overrides.rope_theta", "5", "--enforce-eager", "--hf-overrides.a.b=1"],
        [FLAG, '{"rope_theta": 4, "c": 3}', FLAG, '{"rope_theta": 5}', "--enforce-eager", "--hf-overrides.a.b", "1"],
    ],
)
def test_a_users_own_value_is_kept_in_every_spelling(given):
    merged = merge(given, {**ROPE, "a": {"c": 2}})
    assert overrides(merged) == {"rope_theta": 5, "a": {"b": 1, "c": 2}}
    assert merged[0] == "--enforce-eager"


def test_a_null_of_the_user_is_a_value():
    assert overrides(merge([FLAG, '{"quantization_config": null}'], {"quantization_config": {"x": 1}})) == {
        "quantization_config": None
    }


@pytest.mark.parametrize("value", ["[1]", "rope", "", "5"])
def test_what_cannot_be_merged_is_refused_with_its_form(value):
    with pytest.raises(ConfigError, match="not a JSON object"):
        merge([FLAG, value], ROPE)
