"""Every named sweep: it composes, plans on its own engine, and its rehearsal passes preflight on any machine."""

import re
import sys
from pathlib import Path

import pytest

from harness.engines.vllm import last_argument
from harness.errors import ConfigError
from harness.rehearse import rehearsal
from harness.sweeps.composing.compose import compose_sweep, options
from harness.sweeps.plan import build_plan
from harness.sweeps.preflight import preflight
from harness.sweeps.prepare import prepare
from tests import commands

pytestmark = pytest.mark.slow

SWEEPS = [name for name in options("sweep") if name != "servers"]  # that one starts no engine: test_servers_sweep.py
STUDIES = ["hopper_sparse_fp8", "ampere_sparse_int4", "mixtral_fp8", "bf16_or_death"]
STUDIES += ["bf16_or_death_70b", "bf16_or_death_405b"]
OF_ANY_MODEL = {"which_compression": ["model=Qwen/Qwen3-8B"]}
ENTRY = "variant: bf16, value: 0.5, source: a card"


def planned(overrides: list[str], cache: Path):
    config = compose_sweep([*overrides, f"cache_dir={cache}", f"results_dir={cache}/results"])
    prepared = prepare(config)
    return prepared, build_plan(prepared)


def test_the_studies_of_the_field_are_there():
    assert set(STUDIES) < set(SWEEPS)


@pytest.mark.parametrize("sweep", SWEEPS)
def test_every_sweep_plans_on_its_own_engine(sweep, tmp_path):
    prepared, plan = planned([f"+sweep={sweep}", *OF_ANY_MODEL.get(sweep, [])], tmp_path)
    config, engine, suites = prepared.config, prepared.engine, prepared.suites
    assert config.name == sweep and engine.loads_weights == (sweep != "demo")
    measured = {(cell.variant, cell.scenario or cell.suite) for cell in plan.cells}
    assert {(config.baseline, name) for name in (*suites, *config.scenarios)} <= measured
    assert plan.cells and {cell.variant for cell in plan.cells if cell.kind != "judge"} == set(config.variants)
    assert all(engine.command(session.deployment("CHECKPOINT")) for session in plan.sessions if session.served)


@pytest.mark.parametrize("sweep", [name for name in SWEEPS if name != "gemm"])
def test_every_rehearsal_passes_preflight(sweep, tmp_path):
    prepared, plan = planned(rehearsal([f"+sweep={sweep}"]), tmp_path)
    config = prepared.config
    assert config.engine.kind == "simulated" and config.data.root == "pocket"
    found = preflight.problems(prepared, plan)
    assert [problem for problem in found if "sandbox" not in problem] == [], "where none works is another test's matter"
    assert config.name == f"{sweep}_rehearsal", "its records stay apart from those of a GPU"


def test_kernels_cannot_be_rehearsed(tmp_path):
    (problem,) = preflight.problems(*planned(rehearsal(["+sweep=gemm"]), tmp_path))
    assert problem.startswith("engine simulated has no Python whose kernels could be timed; for the GEMM study set")


@pytest.mark.parametrize("sweep", STUDIES)
def test_published_figures_are_of_what_the_sweep_measures_and_say_where_they_stand(sweep):
    config = compose_sweep([f"+sweep={sweep}"])
    what = [(entry.variant, entry.suite or entry.metric, entry.against, entry.gpu) for entry in config.published]
    assert len(set(what)) == len(what) >= 8
    for entry in config.published:
        assert {entry.variant, entry.against or entry.variant} <= set(config.variants)
        assert entry.suite is None or entry.suite in config.suites
        assert re.search(r"\b20\d\d\b", entry.source), entry
        assert entry.suite is None or 0 < entry.value < 1, "fractions throughout"


REFUSED = {
    "{variant: bf16, suite: mmlu, value: 0.5}": "published[0].source is empty: name the title",
    "{variant: bf16, suite: mmlu, value: 0.5, source: ' '}": "published[0].source is empty",
    f"{{{ENTRY}}}": "published[0]: give either suite (its score) or metric",
    f"{{{ENTRY}, suite: mmlu, metric: speedup/e2e_single_stream}}": "published[0]: give either suite",
    f"{{{ENTRY}, suite: mmul}}": "published[0].suite: no 'mmul'; did you mean 'mmlu'?",
    f"{{{ENTRY}, metric: speedups/e2e_single_stream}}": "published[0].metric: no 'speedups'; did you mean 'speedup'?",
    "{variant: bf17, suite: mmlu, value: 0.5, source: a card}": "published[0].variant: no 'bf17'; did you mean 'bf16'",
    f"{{{ENTRY}, suite: mmlu, table: 2}}": "unknown key 'table'; did you mean 'value'?",
}


@pytest.mark.parametrize("entry", REFUSED)
def test_a_published_figure_that_nobody_could_check_is_refused(entry):
    with pytest.raises(ConfigError, match=re.escape(REFUSED[entry])):
        compose_sweep(["+sweep=quickstart", f"published=[{entry}]"])


def test_what_a_sweep_left_out_may_be_spoken_of():
    assert compose_sweep(["+sweep=mixtral_fp8", "variant=[fp16]", "suite=[mmlu]"]).published


def test_rates_come_from_the_published_sparse_kernels_and_scores_from_the_foundation_model(tmp_path):
    _, plan = planned(["+sweep=ampere_sparse_int4"], tmp_path)
    load, suites = (session for session in plan.sessions if session.variant == "sparse24_w4a16")
    assert load.checkpoint.endswith("-2of4-quantized.w4a16") and load.recipe is None
    assert {cell.kind for cell in load.cells} == {"load"}
    assert suites.checkpoint == "neuralmagic/Sparse-Llama-3.1-8B-2of4" and not suites.recipe.get("sparsity")
    assert {cell.kind for cell in suites.cells} == {"accuracy"}


def test_the_ampere_study_serves_its_sparse_checkpoints_as_that_engine_can(tmp_path):
    """vLLM 0.15.1 refuses a sparsity_config with targets below 9.0, and reads marlin-24 in FP16 alone."""
    prepared, plan = planned(["+sweep=ampere_sparse_int4"], tmp_path)
    commands = {}
    for session in plan.sessions:
        commands.setdefault(session.variant, []).append(prepared.engine.command(session.served))
    for command in commands["sparse24_bf16"]:
        assert command[command.index("--hf-overrides") + 1] == '{"quantization_config": null}'
    assert all(last_argument(command, "--dtype") == "float16" for command in commands["sparse24_w4a16"])
    assert not any("--hf-overrides" in command for command in commands["bf16"] + commands["w4a16"])


def test_equal_gpus(tmp_path):
    prepared, plan = planned(["+sweep=mixtral_fp8"], tmp_path)
    degrees = {name: v.deployments.tensor_parallel[0] for name, v in prepared.config.variants.items()}
    assert {degrees[name] for name in ("fp16", "fp8_static", "nf4")} == {2}, "the heads are served alike"
    assert {name.rpartition("_tp")[2] for name in degrees if name.startswith("fp8_static_tp")} == {"1", "4", "8"}
    assert "fp16_tp1" not in degrees, "94 GB"
    assert not [c for c in plan.cells if c.kind == "accuracy" and "_tp" in c.variant]


def test_your_own_settings_win_over_the_rehearsals():
    given = ["+sweep=ampere_sparse_int4", "load.rates_rps=[3]", "scenario=[chat_512_256]", "suites.mmlu.items=2"]
    config = compose_sweep(rehearsal([*given, "engine.hardware=a100", "name=mine"]))
    assert config.load.rates_rps == [3] and list(config.scenarios) == ["chat_512_256"]
    assert config.suites["mmlu"].items == 2 and config.suites["hellaswag"].items == 8
    assert (config.engine.hardware, config.engine.shape, config.name) == ("a100", "llama-3.1-8b", "mine")


def test_a_rehearsal_keeps_the_shortest_scenarios_without_their_own_ladders():
    settings = rehearsal(["+sweep=ampere_sparse_int4"])
    assert 'scenario=["instruction_256_128", "docstring_768_128"]' in settings
    chosen = rehearsal(["+sweep=ampere_sparse_int4", "scenario=[rag_10240_1536]"])
    assert "scenarios.rag_10240_1536.rates_rps=null" in chosen, "0.05 requests a second are no matter of minutes"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["+sweep=mixtral_fp"], "error: no sweep 'mixtral_fp'; did you mean 'mixtral_fp8'"),
        (["+sweep=mixtral_fp8", "engine.hardware=h1000"], "engine.hardware=h1000: not known; did you mean 'h100'"),
        (["+sweep=bf16_or_death_70b", "engine.hardware=a5000"], "Llama 3.1 70B in BF16 takes"),
    ],
)
def test_a_mistake_is_named(arguments, line, tmp_path):
    command = [sys.executable, "-m", "harness.rehearse", *arguments, f"results_dir={tmp_path}", f"cache_dir={tmp_path}"]
    done = commands.run(command, timeout=120)
    assert done.returncode == 2 and line in done.stderr and "Traceback" not in done.stderr
    assert not any(tmp_path.iterdir()), "nothing was started"
