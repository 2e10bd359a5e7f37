"""The doctored set: checkpoints that are not what they claim to be. Every one is caught, by name, with what to do."""
# ruff: noqa: E501 (a table)

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from harness.catalogue import variants
from harness.checkpoints.inspection import inspect_checkpoint
from harness.checkpoints.inspection.gate import errors_of, refusals
from harness.errors import HarnessError
from tests import commands
from tests.unit.checkpoints import built

pytestmark = pytest.mark.slow

LAYER = "model.layers.1.mlp.gate_proj"
Doctor = Callable[[Path], None]


def edit_config(kind: str, change: Callable[[dict], None]) -> Doctor:
    def doctor(folder: Path) -> None:
        said = built.config(kind)
        change(said["quantization_config"])
        built.checkpoint(folder, kind, said=said)

    return doctor


def edit_tensors(kind: str, change: Callable[[built.Tensors], None], said: dict | None = None) -> Doctor:
    def doctor(folder: Path) -> None:
        found = built.tensors(kind)
        change(found)
        built.checkpoint(folder, kind, found, said)

    return doctor


def edit_file(kind: str, change: Callable[[Path], None], shards: int = 1) -> Doctor:
    def doctor(folder: Path) -> None:
        change(built.checkpoint(folder, kind, shards=shards))

    return doctor


def weights_of(quantization: dict) -> dict:
    return quantization["config_groups"]["group_0"]["weights"]


def scale(value: float) -> Callable[[built.Tensors], None]:
    def change(found: built.Tensors) -> None:
        values = np.full((built.INNER, 1), 0.01)
        values[7] = value
        found[f"{LAYER}.weight_scale"] = built.bf16(values)

    return change


def reshape_scale(shape: tuple[int, ...]) -> Callable[[built.Tensors], None]:
    return lambda found: found.update({f"{LAYER}.weight_scale": built.bf16(np.full(shape, 0.01))})


def densify(write: Callable) -> Callable[[built.Tensors], None]:
    return lambda found: found.update(write(LAYER, built.weights(9, (built.INNER, built.HIDDEN))))


def one_group(found: built.Tensors) -> None:
    """One group of four with three values, in one layer."""
    dtype, values = found[f"{LAYER}.weight"]
    values = values.copy()
    values[11, :4] = 0x38
    found[f"{LAYER}.weight"] = (dtype, values)


def unquantize(found: built.Tensors) -> None:
    for part in ("weight_scale", "weight_packed", "weight_shape"):
        found.pop(f"{LAYER}.{part}", None)
    found.update(built.dense(LAYER, built.weights(9, (built.INNER, built.HIDDEN))))


def cut(share: float) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        file = folder / "model.safetensors"
        file.write_bytes(file.read_bytes()[: int(file.stat().st_size * share)])

    return change


def nan_weight(found: built.Tensors) -> None:
    values = found[f"{LAYER}.weight"][1].copy()
    values[3, 5] = 0x7F
    found[f"{LAYER}.weight"] = ("F8_E4M3", values)


def header(change: Callable[[dict], None]) -> Callable[[Path], None]:
    def rewrite(folder: Path) -> None:
        file = folder / "model.safetensors"
        raw = file.read_bytes()
        size = int.from_bytes(raw[:8], "little")
        entries = json.loads(raw[8 : 8 + size])
        change(entries)
        text = json.dumps(entries).encode()
        file.write_bytes(len(text).to_bytes(8, "little") + text + raw[8 + size :])

    return rewrite


def index(change: Callable[[dict], None]) -> Callable[[Path], None]:
    def rewrite(folder: Path) -> None:
        file = folder / "model.safetensors.index.json"
        value = json.loads(file.read_text())
        change(value["weight_map"])
        file.write_text(json.dumps(value))

    return rewrite


CATALOGUE = variants()
SHARD = "model-00002-of-00003.safetensors"

# what was done: (how, the variant it is served as or None, what the message says)
DOCTORED: dict[str, tuple[Doctor, str | None, list[str]]] = {
    "another scheme claimed: INT8 over FP8": (
        edit_config("fp8", lambda q: weights_of(q).update(type="int")), None,
        ["q_proj", "fp8 e4m3 where config_groups.group_0 claims int8, symmetric, per channel"]),
    "another scheme claimed: INT4 over INT8": (
        edit_config("int8", lambda q: weights_of(q).update(built.int_args(128))), None,
        ["int8 where config_groups.group_0 claims int4, symmetric, group 128"]),
    "another scheme claimed by the variant": (edit_file("fp8", lambda folder: None), "w4a16",
        ["fp8 e4m3 where variant w4a16 claims int4, symmetric, group 128"]),
    "a BF16 checkpoint as a quantized variant": (edit_file("bf16", lambda folder: None), "fp8_dynamic",
        ["variant fp8_dynamic says fp8 e4m3, per channel", "linear layers are bf16", "recipe"]),
    "a quantized checkpoint as the baseline": (edit_file("int8", lambda folder: None), "bf16",
        ["int8 where variant bf16 says bf16"]),
    "a dense checkpoint as a sparse variant": (edit_file("fp8", lambda folder: None), "sparse24_fp8",
        ["none of its 14 linear layers is 2:4, and variant sparse24_fp8 is", "prune it"]),
    "static activations claimed by the variant": (edit_file("fp8", lambda folder: None), "fp8_static",
        ["per channel" , "per tensor"]),
    "wrong group size claimed: 128 over 64": (
        edit_config("int4_g64", lambda q: weights_of(q).update(group_size=128)), None,
        ["[256, 4] of weights [256, 256]: group 64", "claims int4, symmetric, group 128"]),
    "wrong group size claimed: 32 over 128": (
        edit_config("int4_g128", lambda q: weights_of(q).update(group_size=32)), None, ["group 128", "group 32"]),
    "wrong group size of the variant": (edit_file("int4_g64", lambda folder: None), "w4a16",
        ["group 64 where variant w4a16 claims int4, symmetric, group 128"]),
    "wrong group size, GPTQ": (edit_config("gptq", lambda q: q.update(group_size=32)), None, ["group 128", "group 32"]),
    "wrong group size, AWQ": (edit_config("awq", lambda q: q.update(group_size=64)), None, ["group 128", "group 64"]),
    "per tensor claimed over per channel": (
        edit_config("fp8", lambda q: weights_of(q).update(strategy="tensor")), None,
        ["per channel where config_groups.group_0 claims fp8 e4m3, per tensor"]),
    "zero points claimed that are not there": (
        edit_config("int4_g128", lambda q: weights_of(q).update(symmetric=False)), None, ["no zero points"]),
    "2:4 broken in one layer, claimed by sparsity_config": (
        edit_tensors("sparse_fp8_claimed", densify(built.fp8_channel)), None,
        [LAYER, "not 2:4, and sparsity_config claims it"]),
    "2:4 broken in one layer, claimed by the variant": (
        edit_tensors("sparse_fp8", densify(built.fp8_channel)), "sparse24_fp8",
        [LAYER, "not 2:4, and variant sparse24_fp8 is"]),
    "2:4 broken in one group of four": (edit_tensors("sparse_fp8", one_group), "sparse24_fp8", [f"{LAYER} (1 of 32768 groups", "not 2:4"]),
    "2:4 broken in one layer of INT4": (
        edit_tensors("sparse_int4", densify(built.int4(128))), "sparse24_w4a16", [LAYER, "not 2:4"]),
    "2:4 broken in one layer of GPTQ": (
        edit_tensors("sparse_gptq", densify(built.gptq)), "sparse24_w4a16", [LAYER, "not 2:4"]),
    "2:4 broken in the bitmask of one layer": (
        edit_tensors("sparse_fp8_bitmask", lambda found: found[f"{LAYER}.bitmask"][1].__setitem__(4, 0xFF)), None,
        [LAYER, "not 2:4"]),
    "truncated in the data": (edit_file("fp8", cut(0.7)), None,
        ["model.safetensors", "its header promises", "tensors are cut", "download it again"]),
    "truncated in the header": (edit_file("fp8", cut(0.001)), None, ["model.safetensors", "too few for its own header"]),
    "an empty file": (edit_file("fp8", cut(0)), None, ["0 bytes"]),
    "a Git LFS pointer": (
        edit_file("fp8", lambda f: (f / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")),
        None, ["Git LFS pointer"]),
    "a shard of the index missing": (
        edit_file("int8", lambda f: (f / SHARD).unlink(), shards=3), None,
        [SHARD, "model.safetensors.index.json", "download"]),
    "a shard missing, and no index": (
        edit_file("int8", lambda f: [(f / SHARD).unlink(), (f / "model.safetensors.index.json").unlink()], shards=3),
        None, [SHARD, "its siblings say it exists"]),
    "a shard truncated": (
        edit_file("int8", lambda f: (f / SHARD).write_bytes((f / SHARD).read_bytes()[:-100]), shards=3), None,
        [SHARD, "promises"]),
    "the index names a tensor that its shard lacks": (
        edit_file("int8", index(lambda m: m.update({"model.layers.9.mlp.up_proj.weight": SHARD})), shards=3), None,
        ["model.layers.9.mlp.up_proj.weight", "lacks it"]),
    "scale of the wrong shape": (edit_tensors("fp8", reshape_scale((256, 1))), None,
        [LAYER, "scales [256, 1] of weights [512, 256] fit no granularity"]),
    "scale of the wrong shape, of a group": (edit_tensors("int4_g64", reshape_scale((512, 3))), None,
        [LAYER, "[512, 3]"]),
    "scale of the wrong shape, of blocks": (
        edit_tensors("fp8_block", lambda f: f.update({f"{LAYER}.weight_scale_inv": ("F32", np.ones((4, 1), "<f4"))})),
        None, [LAYER, "[4, 1]"]),
    "scale NaN": (edit_tensors("fp8", scale(float("nan"))), None, [LAYER, "1 of weight_scale are NaN or infinite"]),
    "scale infinite": (edit_tensors("int8", scale(float("inf"))), None, [LAYER, "1 of weight_scale are NaN or infinite"]),
    "scale 0": (edit_tensors("fp8", scale(0.0)), None, [LAYER, "1 of weight_scale are 0"]),
    "scale negative": (edit_tensors("fp8", scale(-0.01)), None, [LAYER, "1 of weight_scale are negative"]),
    "global scale 0": (
        edit_tensors("nvfp4", lambda f: f.update({f"{LAYER}.weight_global_scale": ("F32", np.zeros(1))})), None,
        [LAYER, "weight_global_scale are 0"]),
    "scales of one layer missing": (edit_tensors("fp8", lambda f: f.pop(f"{LAYER}.weight_scale")), None,
        [LAYER, "no scales where"]),
    "static activations without their scale": (edit_tensors("fp8_static", lambda f: f.pop(f"{LAYER}.input_scale")), None,
        [LAYER, "no input_scale"]),
    "weights of one layer missing": (edit_tensors("int8", lambda f: f.pop(f"{LAYER}.weight")), None,
        [LAYER, "weight_scale without weights"]),
    "quantized by config.json, BF16 in the file": (
        edit_tensors("bf16", lambda found: None, built.config("fp8")), None,
        ["claims fp8 e4m3, per channel", "all 15 linear layers are bf16", "remove quantization_config"]),
    "quantized by config.json with GPTQ, BF16 in the file": (
        edit_tensors("bf16", lambda found: None, built.config("gptq")), None, ["claims int4", "are bf16"]),
    "one layer unquantized and not in ignore": (edit_tensors("fp8", unquantize), None,
        [LAYER, "bf16 where config_groups.group_0 claims fp8", "ignore"]),
    "one layer unquantized, INT4": (edit_tensors("int4_g128", unquantize), None, [LAYER, "add it to ignore"]),
    "lm_head unquantized and not in ignore": (edit_config("fp8", lambda q: q.update(ignore=[])), None, ["lm_head", "ignore"]),
    "a layer quantized that is in ignore": (
        edit_config("fp8", lambda q: q["ignore"].append(LAYER)), None, [LAYER, "ignore says it was left unquantized"]),
    "quantized, and config.json says nothing": (
        edit_tensors("int8", lambda found: None, {"architectures": ["LlamaForCausalLM"]}), None,
        ["int8, and config.json has no quantization_config"]),
    "packed weights of another shape than they say": (
        edit_tensors("int4_g128", lambda f: f.update({f"{LAYER}.weight_shape": ("I64", np.array([512, 300]))})), None,
        [LAYER, "weight_shape"]),
    "NaN among the weights": (edit_tensors("fp8", nan_weight), None, [LAYER, "1 weights are NaN or infinite"]),
    "offsets beyond each other": (
        edit_file("fp8", header(lambda h: h[f"{LAYER}.weight"].update(shape=[512, 255]))), None,
        [f"{LAYER}.weight", "do not hold F8_E4M3 [512, 255]"]),
    "a name that is not Unicode": (
        edit_file("fp8", header(lambda h: h.update({"\ud800.weight": h.pop(f"{LAYER}.weight")}))), None,
        ["model.safetensors", "its header cannot be read", "not valid Unicode", "download it again"]),
    "an unknown dtype": (
        edit_file("fp8", header(lambda h: h[f"{LAYER}.weight"].update(dtype="F7"))), None, ["dtype F7 is not known"]),
    "config.json missing": (edit_file("fp8", lambda f: (f / "config.json").unlink()), None, ["config.json", "not there"]),
    "config.json no JSON": (edit_file("fp8", lambda f: (f / "config.json").write_text("{")), None, ["config.json", "not JSON"]),
    "quantization_config of the wrong type": (
        edit_tensors("fp8", lambda f: None, {"quantization_config": [1, 2]}), None, ["cannot be read"]),
    "KV-cache scale 0": (
        edit_tensors("fp8", lambda f: f.update({"model.layers.0.self_attn.k_scale": ("F32", np.zeros(1))})), None,
        ["model.layers.0.self_attn", "k_scale are 0"]),
}  # fmt: skip


@pytest.mark.parametrize("case", DOCTORED)
def test_a_doctored_checkpoint_is_caught(case, tmp_path):
    doctor, name, said = DOCTORED[case]
    doctor(tmp_path / "c")
    variant = CATALOGUE[name] if name else None
    faults = errors_of(inspect_checkpoint(str(tmp_path / "c")), name or "judge", variant)
    text = "\n".join(map(str, faults))
    assert faults, "passed for what it claims to be"
    for words in said:
        assert words in text
    assert all("; " in str(fault) for fault in faults), "what to do is said"


@pytest.mark.parametrize(
    "case", ["truncated in the data", "scale of the wrong shape", "quantization_config of the wrong type"]
)
def test_the_command_names_it_without_a_traceback(case, tmp_path):
    DOCTORED[case][0](tmp_path / "c")
    command = [sys.executable, "-m", "harness.inspect", str(tmp_path / "c")]
    done = commands.run(command, timeout=60)
    assert done.returncode == 1, done.stderr
    assert "error: " in done.stdout and "Traceback" not in done.stdout + done.stderr


NO_CHECKPOINT = [
    (lambda folder: None, "No such file"),
    (lambda folder: folder.mkdir(), "no .safetensors files"),
]


@pytest.mark.parametrize(("make", "said"), NO_CHECKPOINT)
def test_what_is_no_checkpoint_is_refused(make, said, tmp_path):
    make(tmp_path / "c")
    with pytest.raises(HarnessError, match=said):
        inspect_checkpoint(str(tmp_path / "c"))
    assert said in refusals(str(tmp_path / "c"), "bf16", None)[0]
    command = [sys.executable, "-m", "harness.inspect", str(tmp_path / "c")]
    done = commands.run(command, timeout=60)
    assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr


def test_mostly_2_4_is_said_even_where_nobody_claims_it(tmp_path):
    edit_tensors("sparse_fp8", densify(built.fp8_channel))(tmp_path / "c")
    found = inspect_checkpoint(str(tmp_path / "c"))
    (fault,) = found.faults
    assert fault.level == "caution" and fault.where[0].startswith(f"{LAYER} (")
    assert "13 of 14 layers are" in str(fault)


def test_many_layers_with_one_fault_are_one_line(tmp_path):
    edit_config("int4_g64", lambda q: weights_of(q).update(group_size=128))(tmp_path / "c")
    faults = inspect_checkpoint(str(tmp_path / "c")).errors
    assert len(faults) <= 4, "one for each shape of scales"
    assert sum(len(fault.where) for fault in faults) == len(built.NAMES)
