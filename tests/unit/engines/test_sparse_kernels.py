"""Which engines have 2:4 kernels."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from harness.engines.endpoint import EndpointConfig
from harness.engines.executed import sparse_problem
from harness.engines.kernels import wants_sparsity_config
from harness.engines.vllm_log import logged_scheme
from harness.records.engine_facts import EngineFacts, LoggedScheme


def engine(version="0.18.1", device="cuda", kind="vllm"):
    return {"kind": kind, "version": version, "device": device}


@pytest.mark.parametrize(("configured", "wants"), [
    (engine(), True), (engine("0.19.0"), False), (engine("0.32.0"), False), (engine(device="cpu"), False),
    (engine(""), False), (engine(kind="simulated"), False),
])  # fmt: skip
def test_the_block_is_written_for_the_engines_that_look_for_it(configured, wants):
    assert wants_sparsity_config(SimpleNamespace(**configured)) is wants


def test_an_engine_without_a_version_does_not_want_it():
    assert wants_sparsity_config(EndpointConfig()) is False


def inspection(**sparse24: bool):
    """Two decoder layers: {block of layers: is it 2:4?}"""
    names = {
        "attention": [f"self_attn.{part}_proj" for part in "qkvo"],
        "mlp": ["mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"],
        "experts": [f"mlp.experts.{n}.{part}_proj" for n in range(8) for part in ("gate", "up", "down")],
    }
    layers = [
        SimpleNamespace(name=f"model.layers.{n}.{name}", sparse24=is_24)
        for block, is_24 in sparse24.items()
        for n in range(2)
        for name in names[block]
    ]
    return SimpleNamespace(layers=layers, sparse24=2 * sum(layer.sparse24 for layer in layers) > len(layers))


def logged(*parts: str, prefix: str = "model") -> LoggedScheme:
    return logged_scheme(f"{prefix}.layers.{n}.{part}" for n in range(2) for part in parts)


ATTENTION, MLP = ("self_attn.qkv_proj", "self_attn.o_proj"), ("mlp.gate_up_proj", "mlp.down_proj")


def problem(files, **schemes):
    facts = EngineFacts(
        "vllm", version="0.18.1", quantization="compressed-tensors", names_schemes=True, schemes=schemes
    )
    return sparse_problem(facts, files)


def test_sparse_experts_that_no_line_names_are_not_taken_for_sparse():
    files = inspection(attention=False, experts=True)
    code, said = problem(files, CompressedTensorsW8A8Fp8=logged(*ATTENTION))
    assert code == "kernel_unknown"
    assert said.startswith(
        "48 of 48 layers with 2:4 sparse weights are not named in the engine's log (model.layers.0-1."
    )
    assert "mlp.experts.0.gate_proj" in said and "and 20 more" in said


@pytest.mark.parametrize(("named", "missing"), [(MLP, 8), (ATTENTION, 6), (("mlp.down_proj",), 12)])
def test_each_sparse_layer_must_be_named(named, missing):
    files = inspection(attention=True, mlp=True)
    code, said = problem(files, CompressedTensors24=logged(*named))
    assert (code, said.split(" with")[0]) == ("kernel_unknown", f"{missing} of 14 layers")
    assert problem(files, CompressedTensors24=logged(*ATTENTION, *MLP)) is None


def test_layers_that_are_not_sparse_need_no_line():
    files = inspection(attention=False, mlp=True, experts=True)
    assert problem(files, CompressedTensors24=logged(*MLP, "mlp.experts")) is None
    files = inspection(attention=False, mlp=True)
    later = logged("mlp.a_fusion_of_tomorrow", "mlp.down_proj")
    assert problem(files, CompressedTensors24=later) is None, "it may fuse the layers beside it"


def test_names_that_do_not_tell_are_no_evidence_of_a_missing_layer():
    files = inspection(attention=True, mlp=True)
    assert problem(files, CompressedTensors24=logged(*MLP, prefix="language_model.model")) is None
    shortened = replace(logged(*MLP), names=("model.layers.0-1.mlp.down_proj", "and 3 more"))
    assert problem(files, CompressedTensors24=shortened) is None
    assert problem(None, CompressedTensors24=logged(*MLP)) is None


def test_no_sparse_layer_at_all_in_the_log_is_unknown():
    files = inspection(attention=False, experts=True)
    layers = [layer for layer in files.layers if "experts" not in layer.name]
    code, said = problem(SimpleNamespace(layers=layers, sparse24=True), CompressedTensorsW8A8Fp8=logged(*ATTENTION))
    assert (code, said) == ("kernel_unknown", "no layer with 2:4 sparse weights is named in the engine's log")
