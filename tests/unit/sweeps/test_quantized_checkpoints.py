"""A variant whose checkpoint is quantized already: no recipe is implied, and one that is asked for is refused."""

import struct

import pytest

from harness.checkpoints.quantized import quantization_of
from harness.config.catalogue import has_default_recipe, variants
from harness.errors import HarnessError
from harness.sweeps.composing.compose import compose_sweep
from harness.sweeps.plan import build_plan
from harness.sweeps.preflight import checkpoint_problems
from harness.sweeps.prepare import prepare
from tests.unit.checkpoints import built

SWEEP = ["+sweep=quickstart", "suite=[]", "scenario=[chat_96_16]"]


@pytest.fixture
def planned(no_hub):
    """The sweep of a dense model in ./dense and what the command line adds, prepared and planned."""
    built.checkpoint(no_hub / "dense", "bf16")

    def planned(*overrides: str, model: str = "dense"):
        folders = [f"model={no_hub / model}", f"cache_dir={no_hub / 'cache'}", f"results_dir={no_hub / 'results'}"]
        prepared = prepare(compose_sweep([*SWEEP, *folders, *overrides]))
        return prepared, build_plan(prepared)

    return planned


@pytest.mark.parametrize(
    ("variant", "kind", "settings"),
    [
        ("fp8_dynamic", "fp8", []),
        ("int8_w8a8_smoothquant", "int8", []),  # its recipe is calibrated: the data is not asked for
        ("w4a16_gptq", "int4_g64", ["variants.w4a16_gptq.scheme.weights.group_size=64"]),
        ("w4a16_awq", "awq", []),
    ],
)
def test_a_quantized_checkpoint_implies_no_recipe(planned, no_hub, variant, kind, settings):
    given = built.checkpoint(no_hub / "given", kind)
    prepared, plan = planned(f"variant=[bf16,{variant}]", f"variants.{variant}.checkpoint={given}", *settings)
    session = next(session for session in plan.sessions if session.variant == variant)
    assert session.recipe is None
    method = {"awq": "awq"}.get(kind, "compressed-tensors")
    assert session.without_recipe == f"variant {variant}: {given} is already quantized ({method}): no recipe is applied"
    found = checkpoint_problems.problems(prepared, plan)
    assert not [problem for problem in found if "recipe" in problem or "calibration" in problem]


def test_a_dense_checkpoint_of_a_variant_keeps_the_recipe(planned, no_hub):
    given = built.checkpoint(no_hub / "given", "bf16")
    _, plan = planned("variant=[bf16,fp8_dynamic]", f"variants.fp8_dynamic.checkpoint={given}")
    session = next(session for session in plan.sessions if session.variant == "fp8_dynamic")
    assert session.recipe and not session.without_recipe


@pytest.mark.parametrize("kind", ["fp8", "int8", "gptq", "awq", "nvfp4_modelopt", "mxfp4", "nf4"])
def test_a_recipe_on_a_quantized_checkpoint_is_refused_with_what_to_set(planned, no_hub, kind):
    """The sweep's own recipe on a variant's checkpoint, and the catalogue's on the sweep's model."""
    given = built.checkpoint(no_hub / "given", kind)
    own = ["variants.fp8_dynamic.recipe.quantization.scheme=FP8"]
    for asked in (
        planned("variant=[bf16,fp8_dynamic]", f"variants.fp8_dynamic.checkpoint={given}", *own),
        planned("variant=[bf16,fp8_dynamic]", model="given"),
    ):
        found = [problem for problem in checkpoint_problems.problems(*asked) if "recipe: null" in problem]
        assert len(found) == 1 and "variants.fp8_dynamic.recipe=null" in found[0] and str(given) in found[0]


def test_what_a_killed_or_changed_plan_missed_is_refused_before_llm_compressor_starts(planned, no_hub):
    prepared, _ = planned("variant=[bf16,fp8_dynamic]")
    given = built.checkpoint(no_hub / "given", "fp8")
    with pytest.raises(HarnessError, match="already quantized"):
        prepared.workshop.prepare(str(given), {"quantization": {"method": "rtn", "scheme": "FP8_DYNAMIC"}})


def test_a_gguf_file_is_quantized_for_the_engine_that_serves_it_alone(tmp_path):
    path = tmp_path / "model.gguf"
    for kind, said in ((2, "GGUF Q4_0"), (1, None), (30, None)):
        header = struct.pack("<4sIQQ", b"GGUF", 3, 1, 0)
        name = b"blk.0.ffn_up.weight"
        tensor = struct.pack("<Q", len(name)) + name + struct.pack("<I2QIQ", 2, 256, 256, kind, 0)
        path.write_bytes(header + tensor + bytes(64))
        assert quantization_of(str(path), "gguf") == said
    assert quantization_of(str(path)) is None


def test_the_catalogues_recipe_is_told_from_one_that_a_sweep_sets():
    for name, variant in variants().items():
        assert has_default_recipe(name, variant)
    compose = compose_sweep(["+sweep=quickstart"])
    assert has_default_recipe("fp8_dynamic", compose.variants["fp8_dynamic"])
    assert not has_default_recipe("w4a16", compose.variants["w4a16"])  # the sweep rounds to nearest
