"""What an honest checkpoint holds is said rightly, whatever its layout."""

import json

import numpy as np
import pytest

from harness.catalogue import variants
from harness.checkpoints.inspection import inspect_checkpoint
from harness.checkpoints.inspection.problems import grouped
from harness.checkpoints.inspection.text import as_data, holds, render
from harness.checkpoints.inspection.variant import against
from tests.unit.checkpoints import built

CATALOGUE = variants()

# kind: (format of the linear layers, bits per weight of q_proj with its scales)
HOLDS = {
    "bf16": ("bf16", 16.0),
    "fp8": ("fp8 e4m3, per channel", 8 + 16 / 256),
    "fp8_static": ("fp8 e4m3, per tensor", 8 + 16 / 65536),
    "fp8_block": ("fp8 e4m3, block 128x128", 8 + 32 * 4 / 65536),
    "sparse_fp8_bitmask": ("fp8 e4m3, per channel", 4 + 1 + 16 / 256 + 128 / 65536),
    "int8": ("int8, symmetric, per channel", 8 + 16 / 256),
    "int4_g64": ("int4, symmetric, group 64", 4 + 16 / 64 + 128 / 65536),
    "int4_g128": ("int4, symmetric, group 128", 4 + 16 / 128 + 128 / 65536),
    "gptq": ("int4, symmetric, group 128", 4 + 20 / 128 + 32 * 256 / 65536),
    "awq": ("int4, symmetric, group 128", 4 + 20 / 128),
    "nvfp4": ("nvfp4, group 16", 4.5 + 32 / 65536),
    "nvfp4_modelopt": ("nvfp4, group 16", 4.5 + 32 / 65536),
    "mxfp4": ("mxfp4, group 32", 4.25),
    "llm_int8": ("int8, symmetric, per channel", 8 + (32 * 256 + 8) / 65536),
    "nf4": ("nf4, group 64", None),
}


@pytest.mark.parametrize("kind", built.KINDS)
def test_an_honest_checkpoint_has_no_faults(kind, tmp_path):
    found = inspect_checkpoint(str(built.checkpoint(tmp_path / kind, kind)))
    assert [str(fault) for fault in found.faults] == []
    assert len(found.linear) == len(built.NAMES) + 1, "and lm_head"
    assert found.exact and found.looked_at == 1.0


@pytest.mark.parametrize("kind", HOLDS)
def test_formats_and_true_bits_per_weight_are_read_from_the_file(kind, tmp_path):
    found = inspect_checkpoint(str(built.checkpoint(tmp_path / kind, kind)))
    format, bits = HOLDS[kind]
    assert holds(found)["weights"] == format
    (q_proj,) = [layer for layer in found.layers if layer.name == "model.layers.0.self_attn.q_proj"]
    assert q_proj.shape == (256, 256)
    assert bits is None or q_proj.bits_per_weight == pytest.approx(bits, abs=1e-9)


@pytest.mark.parametrize("kind", [kind for kind, (*_, sparse) in built.KINDS.items() if sparse])
def test_2_4_is_measured_along_the_inputs_in_every_layout(kind, tmp_path):
    found = inspect_checkpoint(str(built.checkpoint(tmp_path / kind, kind)))
    assert found.sparse24
    inner = [layer for layer in found.linear if layer.kind != "lm_head"]
    assert all(layer.sparse24 for layer in inner)
    for layer in inner:
        assert layer.measured.groups == layer.count // 4
        assert 0.5 <= layer.measured.zeros / layer.measured.values < 0.75


@pytest.mark.parametrize("kind", ["bf16", "fp8", "int8", "int4_g64", "gptq", "awq", "nvfp4", "mxfp4"])
def test_dense_weights_are_not_2_4(kind, tmp_path):
    found = inspect_checkpoint(str(built.checkpoint(tmp_path / kind, kind)))
    assert not found.sparse24
    assert not any(layer.sparse24 for layer in found.linear)


def test_2_4_across_the_outputs_is_not_2_4(tmp_path):
    found = built.tensors("bf16")
    for name in built.NAMES:
        rows, columns = found[f"{name}.weight"][1].shape
        turned = built.weights(3, (columns, rows), sparse=True).T
        found[f"{name}.weight"] = built.bf16(np.ascontiguousarray(turned))
    assert not inspect_checkpoint(str(built.checkpoint(tmp_path / "t", "bf16", found))).sparse24


@pytest.mark.parametrize("kind", ["int4_g64", "gptq", "awq", "fp8", "int8", "bf16"])
def test_zeros_are_counted_exactly(kind, tmp_path):
    """The share of exact zeros after quantization, from the values that were written."""
    found = inspect_checkpoint(str(built.checkpoint(tmp_path / kind, kind)))
    index = built.NAMES.index("model.layers.1.mlp.down_proj")
    w = built.weights(100 + index, (256, 512))
    expected = {
        "int4_g64": lambda: built.quantize4(w, 64)[0] == 0,
        "gptq": lambda: built.quantize4(w, 128)[0] == 0,
        "awq": lambda: built.quantize4(w, 128)[0] == 0,
        "int8": lambda: np.round(w / (np.abs(w).max(axis=1, keepdims=True) / 127)) == 0,
        "fp8": lambda: w == 0,
        "bf16": lambda: w == 0,
    }[kind]()
    (layer,) = [layer for layer in found.layers if layer.name == "model.layers.1.mlp.down_proj"]
    assert layer.measured.zeros == int(expected.sum())
    quads = expected.reshape(256, -1, 4).sum(axis=2)
    assert layer.measured.sparse_groups == int((quads >= 2).sum())


def test_samples_reach_every_layer(tmp_path, monkeypatch):
    from harness.checkpoints.inspection import inspection

    monkeypatch.setattr(inspection, "SAMPLE", 4096)
    for kind in ("sparse_fp8", "int4_g128", "gptq", "awq", "nvfp4", "fp8_block"):
        found = inspect_checkpoint(str(built.checkpoint(tmp_path / kind, kind)), exact=False)
        assert not found.exact and 0 < found.looked_at < 0.6
        assert all(layer.measured.groups for layer in found.linear), kind
        assert found.errors == []


def test_shards_are_read_through_their_index(tmp_path):
    whole = inspect_checkpoint(str(built.checkpoint(tmp_path / "one", "int8")))
    shards = inspect_checkpoint(str(built.checkpoint(tmp_path / "three", "int8", shards=3)))
    assert shards.files == 3 and shards.errors == []
    assert sorted(layer.name for layer in whole.layers) == sorted(layer.name for layer in shards.layers)


def test_the_text_and_the_data_say_what_is_there(tmp_path):
    found = inspect_checkpoint(str(built.checkpoint(tmp_path / "c", "int4_g128")))
    text = render(found, found.faults)
    for words in ("LlamaForCausalLM", "int4, symmetric, group 128", "left unquantized: embed_tokens, lm_head",
                  "nothing contradicts", "ignore: lm_head", "BF16"):  # fmt: skip
        assert words in text
    data = json.loads(json.dumps(as_data(found, found.faults)))
    assert {entry["type"] for entry in data["layers"]} >= {"q_proj", "lm_head", "embed_tokens"}


VARIANTS = {
    "bf16": "bf16", "fp8": "fp8_dynamic", "fp8_static": "fp8_static", "fp8_block": "fp8_block",
    "sparse_fp8": "sparse24_fp8", "sparse_bf16": "sparse24_bf16", "sparse_int4": "sparse24_w4a16",
    "int8": "int8_w8a8", "int4_g128": "w4a16", "gptq": "w4a16_gptq", "awq": "w4a16_awq", "nvfp4": "nvfp4",
    "nvfp4_modelopt": "nvfp4", "mxfp4": "mxfp4", "llm_int8": "llm_int8", "nf4": "nf4",
}  # fmt: skip


@pytest.mark.parametrize(("kind", "name"), VARIANTS.items())
def test_a_checkpoint_fits_the_variant_it_was_made_for_and_no_other(kind, name, tmp_path):
    catalogue = CATALOGUE
    found = inspect_checkpoint(str(built.checkpoint(tmp_path / kind, kind)))
    assert grouped(against(found, name, catalogue[name])) == []
    sparse = catalogue[name].scheme.sparsity
    for other in set(VARIANTS.values()) - {name}:
        same = catalogue[other].scheme == catalogue[name].scheme
        cast = {name, other} == {"w4a16_awq", "w4a16"}  # AWQ's zero points: the same numbers in either layout
        if same or cast or (kind in ("awq", "gptq") and other.startswith("w4a16")):
            continue
        if sparse and catalogue[other].scheme.weights == catalogue[name].scheme.weights:
            continue  # a sparse checkpoint fits the dense scheme too; a caution says so
        if {name, other} <= {"int8_w8a8", "llm_int8"} or catalogue[other].engine_args:
            continue
        assert any(fault.level == "error" for fault in grouped(against(found, other, catalogue[other]))), other
