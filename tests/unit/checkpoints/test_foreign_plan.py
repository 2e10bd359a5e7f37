"""A foreign checkpoint in a plan: what the engine must be told of it is in the command and in the fingerprint."""

import json
import sys
from pathlib import Path

import pytest

from harness import compose, preflight
from harness.checkpoints.prepare import Workshop
from harness.engines import engine_class
from harness.plan import build_plan

sys.path.insert(0, str(Path(__file__).parent))
import built

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
    engine = engine_class(config.engine.kind)(config.engine, Path("/nowhere"))
    plan = build_plan(config, engine, {})
    return config, engine, plan, {cell.key: cell.fingerprint for cell in plan.cells}


def command(engine, plan) -> list[str]:
    [session] = [session for session in plan.sessions if session.variant == "fp16"]
    return engine.command(session.deployment(session.checkpoint))


@pytest.mark.parametrize("engine", ["vllm_sparse", "vllm_sparse_marlin", "vllm_rocm"])
def test_its_rope_is_in_the_command_of_an_engine_that_would_misread_it(checkpoints, engine):
    _, engine, plan, _ = composed(checkpoints, engine, "foreign")
    given = command(engine, plan)
    assert json.loads(given[given.index("--hf-overrides") + 1]) == {"rope_theta": 123456.0}


def test_a_users_own_overrides_are_kept(checkpoints):
    own = """variants.fp16.engine_args=[--hf-overrides,'{"rope_theta":7,"tie_word_embeddings":true}']"""
    _, engine, plan, _ = composed(checkpoints, "vllm_sparse", "foreign", own)
    given = command(engine, plan)
    assert given.count("--hf-overrides") == 1
    assert json.loads(given[given.index("--hf-overrides") + 1]) == {"rope_theta": 7, "tie_word_embeddings": True}


def test_only_the_cells_that_it_changes_are_measured_anew(checkpoints):
    _, engine, plan, misread = composed(checkpoints, "vllm_sparse", "foreign")
    assert all(cell.inputs.get("config_overrides") for cell in plan.cells if cell.variant == "fp16")
    assert not any("config_overrides" in cell.inputs for cell in plan.cells if cell.variant == "bf16")
    _, engine, plan, _ = composed(checkpoints, "vllm", "foreign")
    assert not any("config_overrides" in cell.inputs for cell in plan.cells)
    assert "--hf-overrides" not in command(engine, plan)
    _, _, _, with_model = composed(checkpoints, "vllm_sparse", "model")
    assert {k: v for k, v in misread.items() if k.startswith("bf16")} == {
        k: v for k, v in with_model.items() if k.startswith("bf16")
    }


def preflight_says(checkpoints, engine: str, second: str, *more: str) -> list[str]:
    config, engine, plan, _ = composed(checkpoints, engine, second, *more)
    folder = checkpoints["model"].parent
    workshop = Workshop(config.compression, folder / "cache", folder / "log", lambda text: None)
    return preflight._checkpoints(config, plan, engine, workshop)


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
    from harness.accuracy import suite_class

    engine = engine_class(config.engine.kind)(config.engine, Path("/nowhere"))
    suites = {name: suite_class(suite.kind)(name, suite) for name, suite in config.suites.items()}
    plan = build_plan(config, engine, suites)
    workshop = Workshop(config.compression, Path("/nowhere"), Path("/nowhere/log"), lambda text: None)
    said = preflight._checkpoints(config, plan, engine, workshop)
    assert any(line.startswith("variant judge: ") and "TokenizersBackend" in line for line in said)
