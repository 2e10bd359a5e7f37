"""A sweep's settings for its report: refused where they cannot be right, told from the engine's arguments."""

import pytest

from harness.engines.parallel import gpus_of
from harness.errors import ConfigError
from harness.sweeps.composing.compose import compose_sweep

SWEEP = ["+sweep=hopper_sparse_fp8"]
PRICE = ["report.price.per_gpu_hour=2.49", "report.price.date=2026-11-20", "report.price.source='a list'"]


def test_a_price_needs_its_day_and_its_source():
    assert compose_sweep(SWEEP + PRICE).report.price.per_gpu_hour == 2.49
    for left_out in (1, 2):
        with pytest.raises(ConfigError, match=r"report\.price\.date=YYYY-MM-DD"):
            compose_sweep(SWEEP + [p for i, p in enumerate(PRICE) if i != left_out])
    with pytest.raises(ConfigError, match="must be above 0"):
        compose_sweep([*SWEEP, "report.price.per_gpu_hour=0", *PRICE[1:]])


def test_the_hopper_sweep_splits_its_gain_as_the_study_does():
    steps = compose_sweep(SWEEP).report.attribution
    assert [(step.variant, step.adds) for step in steps][1:] == [
        ("fp8_dynamic", "quantization"),
        ("sparse24_fp8", "sparsity"),
    ]
    compose_sweep([*SWEEP, "variant=[bf16,w4a16]"])  # the ladder's variants are left out: no error


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("report.attribution=[{variant:bf61}]", "no variant 'bf61'; did you mean 'bf16'"),
        ("+report.cutoffs_ms={itl_p99:[20]}", "no latency 'itl_p99'; did you mean 'itl_ms_p99'"),
        ("+report.cutoffs_ms={itl_ms_p99:[0]}", "milliseconds above 0"),
        ("variants.bf16.deployment_of=bf16", "no other variant 'bf16'"),
        ("variants.bf16.deployment_of=nothing", "no other variant 'nothing'"),
        ("variants.bf16.gpus=0", "gpus must be at least 1"),
    ],
)
def test_a_setting_that_cannot_be_right_is_refused(setting, message):
    with pytest.raises(ConfigError, match=message):
        compose_sweep([*SWEEP, setting])


@pytest.mark.parametrize(
    ("settings", "gpus"),
    [
        ([], 1),
        (["variants.bf16.engine_args=[--tensor-parallel-size,'2']"], 2),
        (["variants.bf16.engine_args=['-tp=4','--pipeline-parallel-size','2']"], 8),
        (["engine.args=[--tensor-parallel-size,'2']", "variants.bf16.engine_args=[-tp,'4']"], 4),
        (["variants.bf16.engine_args=[--tensor-parallel-size,'2']", "variants.bf16.gpus=3"], 3),
    ],
)
def test_gpus_are_told_from_the_parallel_sizes(settings, gpus):
    config = compose_sweep(SWEEP + settings)
    assert gpus_of(config, config.variants["bf16"]) == gpus
