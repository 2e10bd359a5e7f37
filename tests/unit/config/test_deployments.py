"""Variants x axes before the plan: names, accuracy suites, GPUs, and each engine's arguments."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from harness.config.deployments import Axes, accuracy_of, axes_of, expand
from harness.config.variants import Deployments
from harness.engines import Deployment
from harness.engines.endpoint import Endpoint, EndpointConfig
from harness.engines.parallel import gpus_of
from harness.engines.vllm import Vllm, VllmConfig, kv_cache_dtypes
from harness.errors import ConfigError
from harness.machine import host
from harness.sweeps.composing.compose import compose_sweep
from harness.sweeps.plan import build_plan
from harness.sweeps.preflight import preflight
from harness.sweeps.prepare import prepare

pytestmark = pytest.mark.slow

NGRAM = "{method: ngram, num_speculative_tokens: 4, prompt_lookup_max: 4}"


def composed(*overrides: str, variants: str = "bf16,fp8_dynamic"):
    return compose_sweep(["+sweep=hopper_sparse_fp8", f"variant=[{variants}]", *overrides])


def planned(config):
    prepared = prepare(config)
    return build_plan(prepared), prepared


def problems(config) -> list[str]:
    plan, prepared = planned(config)
    return preflight.problems(prepared, plan)


def test_a_sweep_without_axes_is_what_it_was():
    config = composed()
    assert list(config.variants) == ["bf16", "fp8_dynamic"]
    assert all(axes_of(variant) == Axes() and variant.deployment_of is None for variant in config.variants.values())
    plan, _ = planned(config)
    assert all(cell.inputs["engine_args"] == [] for cell in plan.cells if cell.kind != "judge")


def test_every_variant_is_served_in_each_combination():
    config = composed("deployments.tensor_parallel=[1,2]", "deployments.max_num_seqs=[64,256]")
    names = [f"{name}{more}" for name in ("bf16", "fp8_dynamic") for more in ("", "_seqs256", "_tp2", "_tp2_seqs256")]
    assert list(config.variants) == names, "each after its head"
    last = config.variants["fp8_dynamic_tp2_seqs256"]
    assert (last.label, last.deployment_of) == ("FP8, TP 2, batch 256", "fp8_dynamic")
    assert axes_of(last).given() == {"tensor_parallel": 2, "max_num_seqs": 256}
    assert config.variants["fp8_dynamic"].deployment_of is None


def test_a_variants_own_axes_replace_all_of_the_sweeps():
    own = "variants.fp8_dynamic.deployments={tensor_parallel:[2,4]}"
    config = composed("deployments.max_num_seqs=[64,256]", own)
    assert list(config.variants) == ["bf16", "bf16_seqs256", "fp8_dynamic", "fp8_dynamic_tp4"]
    assert axes_of(config.variants["fp8_dynamic"]).given() == {"tensor_parallel": 2}


def test_more_values_and_more_axes_rename_nothing():
    before = composed("deployments.tensor_parallel=[1,2]")
    longer = composed("deployments.tensor_parallel=[1,2,4]", f"deployments.speculative=[null,{NGRAM}]")
    assert set(before.variants) < set(longer.variants)
    for name in before.variants:
        assert axes_of(before.variants[name]) == axes_of(longer.variants[name])
    fingerprints = [{c.key: c.fingerprint for c in planned(config)[0].cells} for config in (before, longer)]
    assert fingerprints[0].items() <= fingerprints[1].items(), "what was measured is not measured again"
    assert "bf16_tp4_ngram4_lookup_max4" in longer.variants


def test_an_axis_that_begins_with_the_default_measures_nothing_again():
    axes = ["deployments.tensor_parallel=[1,2]", "deployments.kv_cache_dtype=[auto]", "deployments.replicas=[1]"]
    for engine in ("vllm_sparse", "simulated"):
        found = [planned(composed(f"engine={engine}", *more))[0] for more in ([], axes)]
        before, after = ({cell.key: cell.fingerprint for cell in plan.cells} for plan in found)
        assert before.items() <= after.items()
    own = "engine.args=[--tensor-parallel-size,'2']"
    before, after = (planned(composed(own, *more))[0].cells[0] for more in ([], ["deployments.tensor_parallel=[1]"]))
    assert before.key == after.key and before.fingerprint != after.fingerprint, "there, one GPU is a change"


def test_accuracy_is_measured_by_the_heads_and_by_other_numerics():
    config = composed("deployments.tensor_parallel=[1,2]", "deployments.kv_cache_dtype=[auto,fp8]")
    plan, _ = planned(config)
    assert {c.variant for c in plan.cells if c.kind == "accuracy"} == {
        *("bf16", "bf16_kv_fp8", "fp8_dynamic", "fp8_dynamic_kv_fp8")
    }
    assert {c.variant for c in plan.cells if c.kind == "judge"} == {
        *("bf16", "bf16_kv_fp8", "fp8_dynamic", "fp8_dynamic_kv_fp8")
    }
    assert {c.variant for c in plan.cells if c.kind == "load"} == set(config.variants)
    scored = {name: accuracy_of(variant) for name, variant in config.variants.items()}
    assert scored["bf16_tp2"] == "bf16" and scored["bf16_tp2_kv_fp8"] == "bf16_kv_fp8" and scored["bf16_kv_fp8"] is None


def test_without_scenarios_only_variants_with_scores_of_their_own_are_left():
    config = composed("scenario=[]", "deployments.tensor_parallel=[1,2]", "deployments.kv_cache_dtype=[auto,fp8]")
    assert list(config.variants) == ["bf16", "bf16_kv_fp8", "fp8_dynamic", "fp8_dynamic_kv_fp8"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["deployments.tensor_parallel=[1,2,1]"], "deployments.tensor_parallel: 1 is there twice"),
        (["deployments.tensor_parallel=[0]"], "deployments.tensor_parallel: 0 must be at least 1"),
        (["deployments.tensor_paralel=[2]"], "unknown key 'deployments.tensor_paralel'; did you mean 'tensor_p"),
        (["deployments.tensor_parallel=2"], "deployments.tensor_parallel: "),
        (["deployments.speculative=[{method: ngram}]"], "wants null or a mapping"),
        (["deployments.speculative=[ngram]"], "wants null or a mapping"),
        (["deployments.max_num_seqs=[64]", "deployments.max_num_batched_tokens=[32]"], "a token of every step"),
        ([f"deployments.{axis}=[1,2,3,4,5]" for axis in ("tensor_parallel", "replicas", "max_num_seqs")],
         r"125 combinations of each variant \(5 tensor_parallel x 5 replicas x 5 max_num_seqs\); at most 64"),
        (["deployments.tensor_parallel=[1,2]", "variants.bf16.gpus=3"], "variants.bf16.gpus=3 and deployments.tens"),
        (["variants.fp8_dynamic.deployment_of=bf16", "variants.fp8_dynamic.deployments.replicas=[2]"],
         "variants.fp8_dynamic: deployment_of makes it one deployment"),
    ],
)  # fmt: skip
def test_axes_that_cannot_be_right_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        composed(*settings)


def test_a_name_that_is_taken_is_refused():
    config = composed("deployments.tensor_parallel=[1]")
    taken = replace(config.variants["bf16"], deployments=Deployments())
    with pytest.raises(ConfigError, match=r"variants\.bf16_tp2 is also a deployment of bf16; rename it"):
        expand(replace(config, variants={"bf16": taken, "bf16_tp2": taken}, deployments=Deployments([1, 2])))


def test_gpus_are_the_degree_times_the_replicas():
    config = composed("deployments.tensor_parallel=[1,4]", "deployments.replicas=[2]")
    assert {name: gpus_of(config, variant) for name, variant in config.variants.items()} == {
        "bf16": 2, "bf16_tp4": 8, "fp8_dynamic": 2, "fp8_dynamic_tp4": 8
    }  # fmt: skip
    config = composed("engine.args=[-tp,'2','--pipeline-parallel-size=2']", "deployments.tensor_parallel=[4]")
    assert gpus_of(config, config.variants["bf16"]) == 8, "the axis stands before the engine's arguments"


def test_vllm_takes_its_own_arguments():
    engine = Vllm(VllmConfig(max_model_len=4096), Path("unused"))
    axes = Axes(2, 4, "fp8", 64, 2048, True, {"method": "ngram", "num_speculative_tokens": 4})
    args = engine.deployment_args(axes)
    assert args[:10] == [
        *("--tensor-parallel-size", "2", "--data-parallel-size", "4", "--kv-cache-dtype", "fp8"),
        *("--max-num-seqs", "64", "--max-num-batched-tokens", "2048"),
    ]
    assert args[10:12] == ["--enable-chunked-prefill", "--speculative-config"]
    assert json.loads(args[12]) == {"method": "ngram", "num_speculative_tokens": 4}
    assert engine.deployment_args(Axes()) == []
    assert engine.deployment_args(Axes(chunked_prefill=False)) == ["--no-enable-chunked-prefill"]
    with pytest.raises(ConfigError, match="kv_cache_dtype: 'fp88'; did you mean 'fp8'"):
        engine.deployment_args(Axes(kv_cache_dtype="fp88"))
    with pytest.raises(ConfigError, match=r"engine\.max_model_len=4096 would fit no step"):
        engine.deployment_args(Axes(max_num_batched_tokens=2048, chunked_prefill=False))


# CacheDType of vllm/config/cache.py in the wheels; 0.18.0 and 0.20 lie between two of them.
@pytest.mark.parametrize(("version", "count", "known", "unknown"), [
    ("0.15.1", 7, "fp8_ds_mla", "float16"),
    ("0.18.0+rocm700", 8, "float16", "nvfp4"),
    ("0.18.1", 8, "float16", "nvfp4"),
    ("0.20.0", 16, "nvfp4", "nvfp4_4over6"),
    ("0.27.1", 16, "turboquant_k8v4", "ultraquant_4bit"),
    ("0.32.0", 19, "nvfp4_4over6", "fp88"),
    ("", 19, "nvfp4_4over6", "fp88"),
])  # fmt: skip
def test_the_kv_caches_dtypes_are_those_of_the_engines_release(version, count, known, unknown):
    assert len(kv_cache_dtypes(version)) == count
    engine = Vllm(VllmConfig(version=version), Path("unused"))
    assert engine.deployment_args(Axes(kv_cache_dtype=known)) == ["--kv-cache-dtype", known]
    with pytest.raises(ConfigError) as refused:
        engine.deployment_args(Axes(kv_cache_dtype=unknown))
    assert version in str(refused.value) and all(dtype in str(refused.value) for dtype in kv_cache_dtypes(version))


def test_an_axis_and_an_argument_that_say_the_same_are_refused():
    with pytest.raises(ConfigError, match="variant fp8_kv: its deployments and its engine_args both set --kv"):
        planned(composed("deployments.kv_cache_dtype=[auto]", variants="bf16,fp8_kv"))
    with pytest.raises(ConfigError, match="both set -tp"):
        planned(composed("deployments.tensor_parallel=[1]", "variants.bf16.engine_args=[-tp,'2']"))


def test_an_endpoint_wants_a_target_for_each_deployment():
    config = EndpointConfig(base_url="http://a", model="m", targets={"bf16_tp2": {"base_url": "http://b"}})
    served = [Deployment(name, "m") for name in ("bf16", "bf16_tp2", "bf16_tp4")]
    [text] = Endpoint(config, Path("unused")).deployment_problems(served)
    assert "bf16 and bf16_tp4 are the same endpoint" in text and "+engine.targets.bf16_tp4=" in text


def test_preflight_counts_gpus_and_attention_heads(tmp_path, monkeypatch):
    gpu = {"name": "H100", "compute_capability": 9.0, "memory_gib": 80.0, "driver": "1"}
    monkeypatch.setattr(host, "gpus", lambda: [gpu, gpu])
    monkeypatch.setattr(host, "gpus_for", lambda engine: [gpu, gpu])
    (tmp_path / "config.json").write_text(json.dumps({"num_attention_heads": 9}))
    settings = [f"variants.bf16.checkpoint={tmp_path}", "variants.bf16.checkpoints={}", "suite=[]", "judge=null"]
    found = problems(composed("deployments.tensor_parallel=[1,2,3]", *settings, variants="bf16"))
    assert [text for text in found if "GPU" in text] == [
        "variant bf16_tp3 is served on 3 GPUs; this machine has 2 (NVML)"
    ]
    assert [text for text in found if "heads" in text] == [
        "variant bf16_tp2: tensor_parallel 2 does not divide the model's 9 attention heads; it can be 1, 3, 9"
    ]
