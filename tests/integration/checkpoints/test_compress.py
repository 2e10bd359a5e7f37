"""Every recipe of the catalogue is made by llm-compressor, from a random model, and holds what its variant says."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from harness import catalogue
from harness.checkpoints.inspection import inspect_checkpoint
from harness.checkpoints.inspection.gate import errors_of
from harness.checkpoints.prepare import COMPRESS, WORKERS
from harness.checkpoints.recipes import recipe_of
from harness.config.schemes import number
from harness.engines import environment
from harness.sweeps.composing import compose

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

MADE = sorted(
    name
    for name, variant in catalogue.variants().items()
    if variant.recipe and getattr(variant.recipe.quantization, "method", None) != "gguf"  # llama-quantize's
)


def specs(folder: Path) -> dict[str, dict]:
    """The catalogue's recipes under their names; then what is wrong, and 2:4 for an engine that asks for the block."""
    chat = folder / "chat.jsonl"
    lines = [{"messages": [{"role": "user", "content": f"{n} jugs of liquor " * 9}]} for n in range(6)]
    chat.write_text("\n".join(map(json.dumps, lines)))
    data = [f"calibration.file={chat}", "calibration.samples=4", "calibration.max_tokens=48"]
    variants = f"variant=[bf16,{','.join(name for name in MADE)}]"
    config = compose.compose_sweep(["+sweep=which_compression", "model=org/name", variants, *data])
    found = {name: recipe_of(config, config.variants[name]) for name in MADE}

    def changed(name: str, **fields) -> dict:
        return {**found[name], **fields}

    asked = {"write_config": True}
    found |= {
        "asked_fp8": changed("sparse24_fp8_wanda", sparsity=found["sparse24_fp8_wanda"]["sparsity"] | asked),
        "asked_bf16": changed("sparse24_bf16", sparsity=found["sparse24_bf16"]["sparsity"] | asked),
        "asked_partly": changed(
            "sparse24_fp8_wanda",
            sparsity=found["sparse24_fp8_wanda"]["sparsity"] | asked,
            ignore=["lm_head", "re:.*down_proj$"],
        ),
        **{f"fp32_{name}": changed(name, dtype="float32") for name in ("int8_w8a8", "sparse24_bf16", "fp8_kv")},
        "wrong_preset": changed("fp8_dynamic", quantization={"method": "rtn", "scheme": "FP8_DYNAMICS"}),
        "wrong_architecture": changed("w4a16_awq", model="olmo2"),
        "wrong_mapping": changed("w4a16_awq", mappings=[{"smooth_layer": "re:.*norm9", "balance_layers": []}]),
        "wrong_order": changed("w4a16_gptq", sparsity={"method": "wanda", "pattern": "2:4", "write_config": False}),
        "no_data": {k: v for k, v in found["w4a16_gptq"].items() if k != "calibration"},
        "own_mapping": changed(
            "w4a16_awq",
            model="olmo2",
            mappings=[{"smooth_layer": "re:.*up_proj$", "balance_layers": ["re:.*down_proj$"]}],
        ),
    }
    return found


@pytest.fixture(scope="module")
def made(tiny_model, tmp_path_factory) -> tuple[dict[str, str | None], Path]:
    """({name: why the worker ended, None when it made the checkpoint}, where they lie), by one process for all."""
    folder = tmp_path_factory.mktemp("compressed")
    tools = compose.compose_sweep(["+sweep=quickstart"])
    cache = Path(tools.cache_dir).expanduser()
    python = environment.ensure(tools.compression, cache, folder / "install.log")
    todo, script = folder / "specs.json", Path(__file__).with_name("compress_tiny.py")
    todo.write_text(json.dumps(specs(folder)))
    command = [str(python), str(script), str(WORKERS / COMPRESS), str(todo), str(tiny_model), str(folder / "out")]
    env = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=800, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-6000:]
    return json.loads(done.stdout.splitlines()[-1]), folder / "out"


@pytest.mark.parametrize("name", MADE)
def test_a_recipe_makes_what_its_variant_says(made, name):
    ended, out = made
    assert ended[name] is None
    variant = catalogue.variants()[name]
    inspection = inspect_checkpoint(str(out / name))
    assert errors_of(inspection, name, variant) == []
    assert inspection.sparse24 is (variant.scheme.sparsity == "2:4")
    assert not inspection.claims.sparsity, "today's engines refuse a checkpoint with sparsity_config"


@pytest.mark.parametrize("name", ["asked_fp8", "asked_bf16", "asked_partly"])
def test_a_sparsity_config_switches_the_sparse_kernels_on(made, name):
    ended, out = made
    assert ended[name] is None
    inspection = inspect_checkpoint(str(out / name))
    assert (inspection.claims.sparsity, inspection.claims.sparsity_format) == ("2:4", "dense")
    assert inspection.errors == []
    block = json.loads((out / name / "config.json").read_text())["quantization_config"]["sparsity_config"]
    down = "model.layers.0.mlp.down_proj"
    if name == "asked_partly":
        (layer,) = [layer for layer in inspection.layers if layer.name == down]
        assert not layer.sparse24, "an ignored layer is left alone"
        assert block["ignore"] == [down] and down not in block["targets"] and len(block["targets"]) == 6
    else:
        assert (block["targets"], block["ignore"]) == (["Linear"], [])


@pytest.mark.parametrize("name", ["int8_w8a8", "sparse24_bf16", "fp8_kv"])
def test_computing_in_fp32_makes_the_same_kind_of_checkpoint(made, name):
    ended, out = made
    assert ended[f"fp32_{name}"] is None
    variant = catalogue.variants()[name]
    inspection = inspect_checkpoint(str(out / f"fp32_{name}"))
    assert errors_of(inspection, name, variant) == []
    left = [layer for layer in inspection.layers if not layer.quantized]
    assert {number(layer.format) for layer in left} == {"bf16"}


WRONG = {
    "wrong_preset": "no preset of that name; did you mean FP8_DYNAMIC?",
    "wrong_architecture": "AWQ does not know which layers of Olmo2ForCausalLM to scale together; set recipe.mappings",
    "wrong_mapping": "no layer of LlamaForCausalLM is named re:.*norm9",
    "wrong_order": "is not 2:4 sparse",
    "no_data": "GPTQModifier measures activations: set the recipe's calibration",
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_made_ends_with_one_line_and_nothing_written(made, name):
    ended, out = made
    assert WRONG[name] in ended[name] and "\n" not in ended[name]
    assert list((out / name).iterdir()) == []


def test_mappings_of_ones_own_serve_another_architecture(made):
    ended, out = made
    assert ended["own_mapping"] is None
    assert errors_of(inspect_checkpoint(str(out / "own_mapping")), "w4a16_awq", catalogue.variants()["w4a16_awq"]) == []
