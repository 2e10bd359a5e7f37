"""A hub id is the commit that it means: asked once, in the fingerprint, and what everything is started with."""

import json
from pathlib import Path

import pytest

from harness.checkpoints import source
from harness.checkpoints.prepare import Workshop, identity
from harness.config.deployments import Axes
from harness.engines import engine_class
from harness.engines.environment import EnvironmentConfig
from harness.hub.commits import DATASET, MODEL, commit_of, resolve
from harness.sweeps.composing import compose
from harness.sweeps.plan import build_plan
from harness.sweeps.preflight import checkpoint_problems, preflight
from harness.sweeps.prepare import prepare
from harness.text.corpora import corpus_digest

ONE, TWO = "1" * 40, "2" * 40


def test_a_revision_is_resolved_once(small_hub):
    small_hub.add("models", "org/model", ONE)
    small_hub.add("models", "org/model", TWO, revision="v2")
    assert [commit_of(MODEL, "org/model") for _ in range(3)] == [ONE] * 3
    assert commit_of(MODEL, "org/model", "v2") == TWO
    assert small_hub.asked == [("models", "org/model", "main"), ("models", "org/model", "v2")]


def test_a_commit_is_its_own(no_hub):
    assert commit_of(MODEL, "org/model", ONE) == ONE


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [(403, "GatedRepo", "accept its terms at https://huggingface.co/org/model"), (401, "RepoNotFound", "HF_TOKEN"),
     (404, "RepoNotFound", "does not exist on the hub"), (404, "RevisionNotFound", "no such revision"),
     (503, "", "answers 503")],
)  # fmt: skip
def test_a_refusal_is_said(small_hub, status, code, said):
    small_hub.refusals["org/model"] = (status, code)
    found = resolve(MODEL, "org/model")
    assert found.commit is None and said in found.problem and found.problem.startswith("checkpoint org/model")


def cached(hub_cache: Path, kind: str, name: str, commit: str, revision: str = "main") -> Path:
    folder = hub_cache / f"{kind}s--{name.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True, exist_ok=True)
    (folder / "refs" / revision).write_text(commit)
    (folder / "snapshots" / commit).mkdir(parents=True, exist_ok=True)
    return folder / "snapshots" / commit


def test_offline_the_cache_says_which_commit_it_has(no_hub, hub_cache):
    cached(hub_cache, "model", "org/model", ONE)
    cached(hub_cache, "dataset", "org/data", TWO, "v1")
    assert commit_of(MODEL, "org/model") == ONE
    assert commit_of(DATASET, "org/data", "v1") == TWO
    assert commit_of(DATASET, "org/data") is None
    said = resolve(DATASET, "org/data").problem
    assert said.startswith("dataset org/data is not in the hub's cache") and "HF_HUB_OFFLINE is set" in said


def test_a_hub_that_fails_leaves_the_cache(small_hub, hub_cache):
    cached(hub_cache, "model", "org/model", ONE)
    small_hub.refusals["org/model"] = (503, "")
    assert commit_of(MODEL, "org/model") == ONE


@pytest.mark.parametrize("damage", ["", "main", "../../x", "1" * 39, "\0" * 40])
def test_a_damaged_cache_names_no_commit(no_hub, hub_cache, damage):
    cached(hub_cache, "model", "org/model", ONE)
    (hub_cache / "models--org--model" / "refs" / "main").write_text(damage)
    assert commit_of(MODEL, "org/model") is None


@pytest.mark.parametrize("name", ["no such thing", "a/b/c", "../x", "", "\0", "x" * 500, "a\nb/c", "org/name\n"])
def test_what_is_no_hub_id_is_a_problem_and_no_crash(small_hub, name):
    assert resolve(MODEL, name).commit is None and resolve(DATASET, name).problem
    assert source(name or "x").problems()


def fingerprints(*overrides: str):
    config = compose.compose_sweep(
        ["+sweep=quickstart", "variant=[bf16,fp16]", "suite=[]", "judge=null", "scenario=[rag_256_8]",
         "model=org/model", *overrides]
    )  # fmt: skip
    prepared = prepare(config)
    plan = build_plan(prepared)
    return prepared, plan, {cell.key: cell.fingerprint for cell in plan.cells}


def test_a_moved_branch_is_another_checkpoint_and_engines_get_the_commit(small_hub):
    small_hub.add("models", "org/model", ONE)
    prepared, plan, before = fingerprints()
    _, _, pinned = fingerprints(f"model=org/model@{ONE}")
    assert pinned == before, "however the commit was named"
    session = plan.sessions[0]
    assert (
        session.cells[0].inputs["weights"]
        == session.cells[0].inputs["tokenizer"]
        == {"hub": "org/model", "commit": ONE}
    )
    command = prepared.engine.command(session.deployment("org/model", source("org/model").commit))
    assert command[command.index("--revision") + 1] == ONE
    small_hub.add("models", "org/model", TWO)
    small_hub.forget()
    assert not set(fingerprints()[2].values()) & set(before.values())


def test_the_workshop_prepares_the_commit(small_hub, hub_cache, tmp_path):
    small_hub.add("models", "org/model", ONE)
    folder = cached(hub_cache, "model", "org/model", ONE)
    (folder / "tokenizer.json").write_text("{}")
    workshop = Workshop(EnvironmentConfig("none"), tmp_path / "cache", tmp_path / "log", print)
    prepared = workshop.prepare("org/model", None)
    assert (prepared.location, prepared.revision) == ("org/model", ONE)


def test_an_unknown_commit_stops_at_preflight(no_hub, hub_cache):
    prepared, plan, _ = fingerprints(f"cache_dir={no_hub}/cache")
    said = checkpoint_problems.problems(prepared, plan)
    assert any("org/model is not in the" in line and "HF_HUB_OFFLINE is set" in line for line in said), said


def test_a_scenarios_dataset_is_its_commit(small_hub):
    small_hub.add("datasets", "org/data", ONE)
    small_hub.add("datasets", "org/data", TWO, revision="v2")
    first, second = corpus_digest("hub:org/data"), corpus_digest("hub:org/data@v2")
    assert first == corpus_digest(f"hub:org/data@{ONE}") and second == corpus_digest(f"hub:org/data@{TWO}") != first


TEXT = "scenarios.rag_256_8.text='hub:org/data'"


def test_a_text_keeps_its_fingerprint_when_the_hub_does_not_answer(small_hub, hub_cache):
    small_hub.add("models", "org/model", ONE)
    small_hub.add("datasets", "org/data", TWO)
    prepared, _, before = fingerprints(TEXT)
    assert prepared.revisions == {"org/model": ONE, "hub:org/data": TWO}
    small_hub.forget()
    small_hub.refusals |= {"org/model": (503, ""), "org/data": (503, "")}
    prepared, _, after = fingerprints(TEXT)
    assert prepared.revisions == {"org/model": ONE, "hub:org/data": TWO} and after == before


def test_a_text_of_no_known_commit_is_refused_with_what_to_pin(no_hub, hub_cache):
    prepared, plan, _ = fingerprints(TEXT)
    assert prepared.revisions == {"org/model": None, "hub:org/data": None}
    [said] = [line for line in preflight.problems(prepared, plan) if line.startswith("scenarios.rag_256_8.text")]
    assert "HF_HUB_OFFLINE is set" in said and "pin a commit that this machine has (hub:org/data@COMMIT)" in said


def test_calibration_data_is_its_commit(small_hub):
    small_hub.add("datasets", "org/data", ONE)
    recipe = {"calibration": {"dataset": "org/data", "split": "train", "samples": 8}}
    tools = EnvironmentConfig(install=["x==1"])
    found = identity("pypi:m==1", recipe, tools)
    assert found["recipe"]["calibration"]["revision"] == ONE
    assert json.dumps(found) == json.dumps(
        identity("pypi:m==1", {"calibration": {**recipe["calibration"], "revision": ONE}}, tools)
    )


def test_a_draft_model_is_its_commit(small_hub):
    small_hub.add("models", "org/draft", ONE)
    asked = {"method": "draft_model", "model": "org/draft", "num_speculative_tokens": 4}
    engine = engine_class("vllm")(engine_class("vllm").Config(version="0.32.0"), Path("/nowhere"))
    assert json.loads(engine.deployment_args(Axes(speculative=asked))[-1]) == asked | {"revision": ONE}
    named = asked | {"revision": "v2"}
    assert json.loads(engine.deployment_args(Axes(speculative=named))[-1]) == named
    without = {"method": "ngram", "num_speculative_tokens": 4}
    assert json.loads(engine.deployment_args(Axes(speculative=without))[-1]) == without
