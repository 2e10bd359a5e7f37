"""What a machine does not support is left out where a sweep says so; wrong settings of checks are refused by name."""

from types import SimpleNamespace

import pytest

from harness.engines import engine_class
from harness.engines.kernels import wants_sparsity_config
from harness.engines.releases import vllm_release
from harness.errors import ConfigError
from harness.gemm import GEMM
from harness.gemm.cells import gemm_problems, products_left_out
from harness.machine import host
from harness.sweeps.composing.compose import compose_sweep
from harness.sweeps.plan import build_plan
from harness.sweeps.preflight.unsupported import emulated, engine_fits, leave_out, said_of, unmet
from harness.sweeps.prepare import prepare

SWEEP = ["+sweep=gpu_proof"]
ENTRY = "variant: bf16, value: 29.2, tolerance: 0.01, source: s"


def composed(*overrides: str):
    config = compose_sweep([*SWEEP, *overrides])
    return config, engine_class(config.engine.kind)(config.engine, None)


@pytest.fixture
def gpu(monkeypatch):
    def install(capability: float) -> None:
        found = [{"name": "GPU", "compute_capability": capability, "memory_gib": 80.0}]
        monkeypatch.setattr(host, "gpus_for", lambda engine: found if engine.device == "cuda" else [])

    return install


@pytest.mark.parametrize(
    ("capability", "gone"),
    [
        (8.0, {"fp8_dynamic", "sparse24_fp8_wanda"}),
        (8.9, {"sparse24_fp8_wanda"}),
        (9.0, set()),
        (10.0, {"sparse24_fp8_wanda", "int8_w8a8"}),
        (12.0, {"sparse24_fp8_wanda", "int8_w8a8"}),
    ],
)
def test_variants_are_left_out_by_compute_capability(gpu, capability, gone):
    gpu(capability)
    config, left_out = leave_out(*composed())
    assert {entry.variant for entry in left_out} == gone
    assert set(config.variants).isdisjoint(gone) and len(config.variants) == 5 - len(gone)


def test_the_engines_version_counts_too(gpu):
    gpu(9.0)
    _, left_out = leave_out(*composed("engine=vllm"))
    assert [said_of(entry) for entry in left_out] == [
        "variant sparse24_fp8_wanda: needs compute capability 9.0 to below 10.0 and vllm>=0.7,<0.19; "
        "this machine: 9.0; this engine: vllm 0.32.0"
    ]


def test_nothing_is_left_out_by_default_without_a_gpu_or_for_an_engine_without_weights(gpu, monkeypatch):
    gpu(8.0)
    assert leave_out(*composed("on_unsupported=refuse"))[1] == []
    assert leave_out(*composed("engine=simulated"))[1] == []
    monkeypatch.setattr(host, "gpus_for", lambda engine: [])
    assert leave_out(*composed())[1] == [], "no GPU at all is another problem than one that lacks kernels"


def test_a_cpu_serves_all_and_times_the_products_that_it_has(monkeypatch):
    monkeypatch.setattr(host, "cpu_flags", lambda: frozenset({"avx2", "avx_vnni"}))
    config, engine = composed("engine=vllm_cpu")
    config, left_out = leave_out(config, engine)
    assert left_out == [] and emulated(config, "bf16") is None and emulated(config, "int8_w8a8") is None
    assert emulated(config, "fp8_dynamic") == "its number format is emulated on a CPU"
    assert [entry.variant for entry in products_left_out(config, engine)] == ["fp8_dynamic", "sparse24_fp8_wanda"]
    planned = build_plan(prepare(compose_sweep([*SWEEP, "engine=vllm_cpu"]))).cells
    assert {cell.variant for cell in planned if cell.kind == "gemm"} == {"bf16", "int8_w8a8"}
    config, engine = composed("engine=vllm_cpu", "on_unsupported=refuse")
    workshop = type("Nowhere", (), {"location": lambda *_: "/nowhere"})()
    assert [text.partition(";")[0] for text in gemm_problems(config, engine, workshop)] == [
        "variant fp8_dynamic: no fp8 products on device cpu",
        "variant sparse24_fp8_wanda: no sparse24_fp8 products on device cpu",
    ]


@pytest.mark.parametrize(
    ("flags", "gone"),
    [
        ({"avx2"}, True),
        ({"avx2", "avx512f", "avx512bw"}, True),
        ({"avx2", "avx_vnni"}, False),
        ({"avx2", "avx512f", "avx512_vnni"}, False),
        ({"asimd", "asimddp"}, False),
    ],
)
def test_int8_is_left_out_of_the_quickstart_on_a_cpu_without_its_instructions(monkeypatch, flags, gone):
    monkeypatch.setattr(host, "cpu_flags", lambda: frozenset(flags))
    monkeypatch.setattr(host, "facts", lambda: {"cpu": "Old CPU (avx2)", "cores": 2, "gpus": []})
    config = compose_sweep(["+sweep=quickstart"])
    prepared = prepare(config)
    assert ("int8_w8a8" not in prepared.config.variants) is gone
    assert [said_of(entry) for entry in prepared.left_out] == gone * [
        "variant int8_w8a8: needs a CPU with avx512_vnni or avx_vnni or amx_int8 or asimddp; "
        "this machine: Old CPU (avx2)"
    ]
    assert bool(unmet(config, "int8_w8a8")) is gone and unmet(config, "w4a16") is None


def test_an_engine_that_times_no_products_leaves_all_of_them_out():
    config, engine = composed("engine=simulated")
    assert not [session for session in prepare(config).sessions if session.kind == GEMM]
    assert gemm_problems(config, engine, None) == []
    assert {entry.part for entry in products_left_out(config, engine)} == {"gemm"}
    alone = ["variant=[bf16,int8_w8a8]", "suite=[]", "scenario=[]", "checks.load=false", "checks.telemetry=false"]
    config, engine = composed("engine=simulated", *alone)
    assert len(gemm_problems(config, engine, None)) == 1, "nothing would be left to measure"


REFUSED = {
    "on_unsupported=ignore": "on_unsupported='ignore'; available: refuse, skip",
    "checks.metrics=[{variant: bf16, metric: perplexity/perplexity, value: 29.2, tolerance: 0.01}]": "source is empty",
    f"checks.metrics=[{{{ENTRY}, metric: perplexty/perplexity}}]": "no 'perplexty'; did you mean 'perplexity'",
    "checks.metrics=[{variant: bf, metric: perplexity/p, value: 1, tolerance: 0.01, source: s}]": "variant: no 'bf'",
    "checks.metrics=[{variant: bf16, metric: perplexity/p, value: 0, tolerance: 0.01, source: s}]": "other than 0",
    "checks.metrics=[{variant: bf16, metric: perplexity/p, value: 1, tolerance: 5, source: s}]": "0.01 is 1 %",
    "checks.metrics=[{variant: bf16, metric: perplexity/p, value: x, tolerance: 5, source: s}]": "is not a number",
    "+checks.schemes.bf17=none": "checks.schemes: no 'bf17'; did you mean 'bf16'",
    "gemm.batch_sizes=[]": "checks.gemm is set and gemm.batch_sizes is empty",
    "scenario=[]": "checks.load is set and there is no scenario",
    "checks.kernel=true": "unknown key 'checks.kernel'",
}


@pytest.mark.parametrize("setting", REFUSED)
def test_wrong_settings_are_refused_by_name(setting):
    with pytest.raises(ConfigError) as refused:
        compose_sweep([*SWEEP, setting])
    assert REFUSED[setting] in str(refused.value)


@pytest.mark.parametrize(
    ("version", "fits"),
    [("0.18.1", True), ("0.18.1+cpu", True), ("0.18.0rc1", True), ("0.19.0", False), ("main", False), (None, True)],
)
def test_prereleases_and_local_builds_fit_as_their_release_does(version, fits):
    """One rule for `needs.engine`, the 2:4 kernels of an engine, and what its release reads."""
    assert engine_fits("vllm>=0.7,<0.19", "vllm", version) is fits
    if version:
        engine = SimpleNamespace(kind="vllm", device="cuda", version=version)
        assert wants_sparsity_config(engine) is fits
    if version not in (None, "main"):
        assert vllm_release(version).sparsity_config is fits
