"""Patterns of others match as `re` matches, and are stopped where they backtrack."""

import json
import re

import pytest

from harness.checkpoints.recipes import ignore_problems
from harness.untrusted.patterns import LONGEST, Pattern, SlowPattern

LONG = "model.language_model.text_encoder.transformer.layers.31.mlp.down_proj"
NAME = "model.layers.31.mlp.experts.127.down_proj"
SLOW = [r"(?:(?:.|..)+)+$(?<=x)", r"(.|..)+(.|..)+(.|..)+x\d"]
LIKE_RE = [
    *(".*mlp.gate$", r"^(?!.*(?:mlp\.experts)).*", r"model\.layers\.(?:[0-9]|[12]\d|3[01])\..*", "", "(?i)MODEL"),
    *(r".*down_proj$", r"(?P<a>m).*?(?P=a)", "a{e}", "m{i<=3}", "[[:alpha:]]odel", "x{,3}m", "x{2", r"\{", "[a{e}m]"),
    *(r"mo{1}del", r"(?x) m # model", r"\w+\Z", r"(?s:.)*", "(?>m|mo)del", "mo++del", "[^\\W\\d_]+"),
]


@pytest.mark.filterwarnings("ignore:Possible nested set")
@pytest.mark.parametrize("pattern", LIKE_RE)
@pytest.mark.parametrize("text", [NAME, "a{e}", "mo", ":odel", "lodel", "m{i<=3}", "", "x{2", "\n"])
def test_an_ordinary_pattern_matches_as_re_does(pattern, text):
    found = Pattern(pattern)
    assert found.match(text) == bool(re.match(pattern, text))
    assert found.search(text) == bool(re.search(pattern, text))


@pytest.mark.parametrize(
    "pattern", ["[", "(", "*a", r"\p{Lu}", r"(?<=a+)b", "(?e)a", "(" * 500 + ")" * 500, "a" * (LONGEST + 1)]
)
def test_what_is_no_pattern_for_re_is_refused(pattern):
    with pytest.raises(ValueError) as found:
        Pattern(pattern)
    assert len(str(found.value)) < 300


@pytest.mark.parametrize("pattern", SLOW)
def test_a_pattern_that_backtracks_is_stopped(pattern):
    with pytest.raises(SlowPattern, match=re.escape(NAME[:20])):
        Pattern(pattern).match(NAME)


def test_a_recipe_with_such_a_pattern_is_named_by_preflight():
    (problem,) = ignore_problems("x", [f"re:{SLOW[0]}"])
    assert problem.startswith("variants.x.recipe.ignore: pattern ") and "backtracks" in problem


def test_a_checkpoint_with_such_a_pattern_is_named(tmp_path):
    from harness.checkpoints.inspection import inspect_checkpoint
    from harness.errors import HarnessError

    head = json.dumps({f"{LONG}.weight": {"dtype": "F8_E4M3", "shape": [2, 4], "data_offsets": [0, 8]}}).encode()
    (tmp_path / "model.safetensors").write_bytes(len(head).to_bytes(8, "little") + head + bytes(8))
    group = {
        "targets": ["Linear"],
        "weights": {"num_bits": 8, "type": "float", "strategy": "channel", "symmetric": True},
    }
    settings = {"quant_method": "compressed-tensors", "ignore": [f"re:{SLOW[0]}"], "config_groups": {"g": group}}
    (tmp_path / "config.json").write_text(json.dumps({"quantization_config": settings}))
    with pytest.raises(HarnessError, match=r"config\.json: quantization_config: pattern .* backtracks"):
        inspect_checkpoint(str(tmp_path))
