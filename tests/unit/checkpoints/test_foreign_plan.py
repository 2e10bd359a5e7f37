"""A foreign checkpoint in a plan: what the engine must be told of it is in the command and in the fingerprint."""

import json
from dataclasses import replace

import pytest

from harness.checkpoints import hub, served_files
from harness.checkpoints.inspection import remote
from harness.console.progress import make_progress
from harness.errors import HarnessError
from harness.records.store import Store
from harness.sweeps.composing import compose
from harness.sweeps.estimates.durations import Durations
from harness.sweeps.estimates.estimate import Estimates
from harness.sweeps.measuring.served_session import ServedSession
from harness.sweeps.plan import build_plan
from harness.sweeps.preflight import checkpoint_problems
from harness.sweeps.prepare import prepare
from harness.sweeps.run import Run
from tests.unit.checkpoints import built

pytestmark = pytest.mark.slow

ROPE = {"rope_type": "default", "rope_theta": 123456.0}


@pytest.fixture
def checkpoints(tmp_path, monkeypatch):
    """{name: directory}: the dense model, and copies of it in the form of transformers 5."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    made = {}
    for name in ("model", "foreign", "tokenizer"):
        folder = built.checkpoint(tmp_path / name, "bf16")
        path = folder / "config.json"
        config = json.loads(path.read_text()) | {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}
        path.write_text(json.dumps(config | ({"rope_parameters": ROPE} if name == "foreign" else {})))
        (folder / "tokenizer_config.json").write_text("{}")
        made[name] = folder
    text = json.dumps({"tokenizer_class": "TokenizersBackend"})
    (made["tokenizer"] / "tokenizer_config.json").write_text(text)
    return made


def composed(checkpoints, engine: str, second: str, *more: str):
    config = compose.compose_sweep(
        [
            *("+sweep=quickstart", f"engine={engine}", "variant=[bf16,fp16]", "suite=[]", "scenario=[rag_256_8]"),
            *(f"model={checkpoints['model']}", f"variants.fp16.checkpoint={checkpoints[second]}", "judge=null"),
            *more,
        ]
    )
    folder = checkpoints["model"].parent
    config = replace(config, cache_dir=str(folder / "cache"), results_dir=str(folder / "results"))
    prepared = prepare(config)
    plan = build_plan(prepared)
    return prepared, plan, {cell.key: cell.fingerprint for cell in plan.cells}


def command(prepared, plan) -> list[str]:
    [session] = [session for session in plan.sessions if session.variant == "fp16"]
    return prepared.engine.command(session.deployment(session.checkpoint))


@pytest.mark.parametrize("engine", ["vllm_sparse", "vllm_sparse_marlin", "vllm_rocm"])
def test_its_rope_is_in_the_command_of_an_engine_that_would_misread_it(checkpoints, engine):
    prepared, plan, _ = composed(checkpoints, engine, "foreign")
    given = command(prepared, plan)
    assert json.loads(given[given.index("--hf-overrides") + 1]) == {"rope_theta": 123456.0}


def test_a_users_own_overrides_are_kept(checkpoints):
    own = """variants.fp16.engine_args=[--hf-overrides,'{"rope_theta":7,"tie_word_embeddings":true}']"""
    prepared, plan, _ = composed(checkpoints, "vllm_sparse", "foreign", own)
    given = command(prepared, plan)
    assert given.count("--hf-overrides") == 1
    assert json.loads(given[given.index("--hf-overrides") + 1]) == {"rope_theta": 7, "tie_word_embeddings": True}


def test_only_the_cells_that_it_changes_are_measured_anew(checkpoints):
    prepared, plan, misread = composed(checkpoints, "vllm_sparse", "foreign")
    assert all(cell.inputs.get("config_overrides") for cell in plan.cells if cell.variant == "fp16")
    assert not any("config_overrides" in cell.inputs for cell in plan.cells if cell.variant == "bf16")
    prepared, plan, _ = composed(checkpoints, "vllm", "foreign")
    assert not any("config_overrides" in cell.inputs for cell in plan.cells)
    assert "--hf-overrides" not in command(prepared, plan)
    _, _, with_model = composed(checkpoints, "vllm_sparse", "model")
    assert {k: v for k, v in misread.items() if k.startswith("bf16")} == {
        k: v for k, v in with_model.items() if k.startswith("bf16")
    }


def preflight_says(checkpoints, engine: str, second: str, *more: str) -> list[str]:
    prepared, plan, _ = composed(checkpoints, engine, second, *more)
    return checkpoint_problems.problems(prepared, plan)


def test_preflight_refuses_what_that_version_cannot_read(checkpoints):
    [line] = preflight_says(checkpoints, "vllm_sparse", "tokenizer")
    assert line.startswith("variant fp16: checkpoint ") and "TokenizersBackend does not exist" in line
    assert preflight_says(checkpoints, "vllm", "tokenizer") == []
    assert preflight_says(checkpoints, "vllm_sparse", "foreign") == [], "repaired"


def test_preflight_compares_the_judge_too(checkpoints):
    config = compose.compose_sweep(
        ["+sweep=quickstart", "engine=vllm_sparse", "variant=[bf16,fp16]", "scenario=[]", "data.root=pocket",
         f"model={checkpoints['model']}", f"judge.model={checkpoints['tokenizer']}", "suite=[alpaca_eval]"]
    )  # fmt: skip
    prepared = prepare(config)
    said = checkpoint_problems.problems(prepared, build_plan(prepared))
    assert any(line.startswith("variant judge: ") and "TokenizersBackend" in line for line in said)


@pytest.fixture
def made_ready(checkpoints, monkeypatch):
    """made_ready(prepared, plan, variant): the checkpoint that a run has before it starts that variant's engine."""

    def call(prepared, plan, variant):
        monkeypatch.setattr(Run, "ready_environment", lambda run: None)
        store = Store(checkpoints["model"].parent / "results")
        run = Run(prepared, plan, store, make_progress("plain"), Estimates((), Durations()))
        [session] = [session for session in plan.sessions if session.variant == variant]
        return ServedSession(run, session).prepare()

    return call


def fail_first(monkeypatch, times: int, reference) -> None:
    """config.json of `reference` cannot be read the first `times` that it is asked for."""
    read, left = served_files.of_source, [times]

    def of_source(asked):
        if asked != str(reference) or not left[0]:
            return read(asked)
        left[0] -= 1
        return None

    monkeypatch.setattr(served_files, "of_source", of_source)


@pytest.mark.parametrize("times", [1, 2, 100])  # of 100, neither the plan nor the run reads it
def test_a_config_that_could_not_be_read_for_the_plan_starts_no_engine(checkpoints, made_ready, monkeypatch, times):
    fail_first(monkeypatch, times, checkpoints["foreign"])
    prepared, plan, _ = composed(checkpoints, "vllm_sparse", "foreign")
    told = [cell.inputs.get("config_overrides") for cell in plan.cells if cell.variant == "fp16"]
    assert None in told or "--hf-overrides" not in command(prepared, plan)
    said = "cannot be read" if times == 100 else "could not be read when the sweep was planned"
    with pytest.raises(HarnessError, match=f"config.json {said}.*run the command again"):
        made_ready(prepared, plan, "fp16")
    assert made_ready(prepared, plan, "bf16").location == str(checkpoints["model"])


@pytest.mark.parametrize("second", ["foreign", "model"])
def test_what_was_planned_is_confirmed(checkpoints, made_ready, second):
    prepared, plan, _ = composed(checkpoints, "vllm_sparse", second)
    assert made_ready(prepared, plan, "fp16").location == str(checkpoints[second])


def test_an_engine_that_misreads_nothing_needs_no_config(checkpoints, made_ready, monkeypatch):
    fail_first(monkeypatch, 100, checkpoints["foreign"])
    prepared, plan, _ = composed(checkpoints, "vllm", "foreign")
    assert made_ready(prepared, plan, "fp16").location == str(checkpoints["foreign"])


def test_a_hub_that_did_not_answer_is_asked_again(monkeypatch):
    answers = [HarnessError("the hub answers 429"), {"config.json": b"{"}, {"config.json": b'{"model_type": "llama"}'}]

    class HubFiles:
        def __init__(self, repository, revision):
            self.files = answers.pop(0)
            if isinstance(self.files, Exception):
                raise self.files

        def names(self):
            return {name: len(text) for name, text in self.files.items()}

        def read(self, name, _offset, _size):
            return self.files[name]

    monkeypatch.setattr(remote, "HubFiles", HubFiles)
    monkeypatch.setattr(hub, "offline_reason", lambda: None)
    monkeypatch.setattr(hub, "snapshot", lambda repository, revision: None)
    asked = [served_files.read("someone/asked-again", "main") for _ in range(4)]
    assert asked[:2] == [None, None] and asked[2].config.raw == {"model_type": "llama"}
    assert asked[3] is asked[2] and not answers, "an answer is kept"
