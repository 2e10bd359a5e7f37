"""Hub ids in an engine's arguments and in `auto_map` are their commits, in fingerprint and record."""

import json

import pytest

from harness.checkpoints.named_repositories import (
    Named,
    argument_commits,
    code_commits,
    code_problems,
    code_words,
    in_arguments,
)
from harness.checkpoints.prepare import identity, tokenizer_identity
from harness.engines import engine_class
from harness.engines.environment import EnvironmentConfig
from harness.sweeps.composing import compose
from harness.sweeps.measured_again import _reasons
from harness.sweeps.plan import build_plan
from harness.sweeps.preflight.checkpoint_problems import problems, unfingerprinted_code
from harness.sweeps.prepare import prepare

ONE, TWO = "1" * 40, "2" * 40
NONE = EnvironmentConfig("none")


def flags(kind: str):
    return engine_class(kind).model_flags


@pytest.mark.parametrize(
    ("kind", "arguments", "found"),
    [
        ("vllm", ["--tokenizer", "org/tok"], [Named("org/tok")]),
        ("vllm", ["--tokenizer=org/tok", "--tokenizer-revision", "v2"], [Named("org/tok", "v2")]),
        ("vllm", ["--lora_modules", "a=org/one", "b=org/two@v3"], [Named("org/one"), Named("org/two", "v3")]),
        (
            "vllm",
            ["--lora-modules", '{"name": "x/y", "path": "org/one", "base_model_name": "q/z"}'],
            [Named("org/one")],
        ),
        ("vllm", ["--speculative-config", '{"model": "org/d", "revision": "v2"}'], [Named("org/d", "v2")]),
        ("vllm", ["--speculative-config.model", "org/d"], [Named("org/d")]),
        ("vllm", ["--speculative-config", '{"model": "ngram"}', "--generation-config", "auto"], []),
        ("vllm", ["--served-model-name", "org/tok", "--middleware=a/b", "org/tok"], []),
        ("vllm", ["--speculative-config", "{" * 9, "--tokenizer", "", "--tokenizer", "../x", "--tokenizer"], []),
        ("sglang", ["--speculative-draft-model-path", "org/d"], [Named("org/d")]),
        ("sglang", ["--lora-paths", "a=org/one", "--tokenizer-path=org/tok"], [Named("org/tok"), Named("org/one")]),
        ("llamacpp", ["-hfd", "org/d:Q4_K_M"], [Named("org/d")]),
        ("endpoint", ["--tokenizer", "org/tok"], []),
        ("simulated", ["--tokenizer", "org/tok"], []),
    ],
)
def test_arguments_that_name_a_model_are_read(kind, arguments, found):
    assert in_arguments(arguments, flags(kind)) == found


def test_a_folder_of_that_name_is_no_repository(tmp_path, monkeypatch):
    (tmp_path / "org/tok").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert in_arguments(["--tokenizer", "org/tok"], flags("vllm")) == []


def test_only_what_the_arguments_do_not_pin_is_resolved(small_hub):
    small_hub.add("models", "org/tok", ONE)
    arguments = ["--tokenizer", "org/tok", "--speculative-config", json.dumps({"model": "org/d", "revision": TWO})]
    assert argument_commits(arguments, flags("vllm")) == {"org/tok": ONE}
    assert small_hub.asked == [("models", "org/tok", "main")]


def planned(*overrides: str):
    config = compose.compose_sweep(
        ["+sweep=quickstart", "variant=[bf16]", "suite=[]", "judge=null", "scenario=[rag_256_8]", "model=org/model",
         *overrides]
    )  # fmt: skip
    prepared = prepare(config)
    return prepared, build_plan(prepared)


ARGS = "engine.args=[--tokenizer,org/tok]"


def test_a_moved_branch_of_a_tokenizer_is_measured_again_and_says_so(small_hub):
    for name in ("org/model", "org/tok"):
        small_hub.add("models", name, ONE)
    plain, first = planned()[1].cells[0], planned(ARGS)[1].cells[0]
    assert "repositories" not in plain.inputs and first.inputs["repositories"] == {"org/tok": ONE}
    small_hub.add("models", "org/tok", TWO)
    small_hub.forget()
    second = planned(ARGS)[1].cells[0]
    assert second.fingerprint != first.fingerprint and planned()[1].cells[0].fingerprint == plain.fingerprint
    assert list(_reasons(first.inputs, second.inputs)) == [
        "repositories that the engine's arguments name have another commit"
    ]


def test_preflight_names_a_repository_that_cannot_be_had(small_hub):
    small_hub.add("models", "org/model", ONE)
    assert any("org/tok does not exist on the hub" in line for line in problems(*planned(ARGS)))


@pytest.fixture
def folder(tmp_path):
    """A checkpoint whose model code, and one of whose tokenizers, is in other repositories."""
    made = tmp_path / "model"
    made.mkdir()
    (made / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    auto_map = {"AutoConfig": "org/code--configuration.C", "AutoModelForCausalLM": "org/code--modeling.M"}
    (made / "config.json").write_text(json.dumps({"auto_map": auto_map}))
    tokenizer = {"auto_map": {"AutoTokenizer": ["org/slow--tok.Slow", None], "AutoProcessor": "own.Processor"}}
    (made / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    return made


def test_code_of_another_repository_is_its_commit(small_hub, folder):
    small_hub.add("models", "org/code", ONE)
    small_hub.add("models", "org/slow", TWO)
    assert code_commits(str(folder)) == {"org/code": ONE, "org/slow": TWO}
    before = identity(str(folder), None, NONE), tokenizer_identity(str(folder))
    assert all(found["code"] == {"org/code": ONE, "org/slow": TWO} for found in before)
    small_hub.add("models", "org/code", TWO)
    small_hub.forget()
    assert identity(str(folder), None, NONE) != before[0] and tokenizer_identity(str(folder)) != before[1]


def test_a_checkpoint_with_its_own_code_has_the_identity_that_it_had(small_hub, folder):
    (folder / "config.json").write_text(json.dumps({"auto_map": {"AutoModel": "modeling.M"}}))
    (folder / "tokenizer_config.json").write_text('{"auto_map": [1, {"a": "org/x--y"}]}')
    assert "code" not in identity(str(folder), None, NONE) and small_hub.asked == []


def test_code_of_a_model_on_the_hub_is_its_commit(small_hub, hub_cache, folder, monkeypatch):
    small_hub.add("models", "org/model", ONE)
    small_hub.add("models", "org/code", TWO)
    snapshot = hub_cache / "models--org--model" / "snapshots" / ONE
    snapshot.parent.mkdir(parents=True)
    folder.rename(snapshot)
    assert identity("org/model", None, NONE) == {"hub": "org/model", "commit": ONE, "code": {"org/code": TWO}}


TRUST = "--trust-remote-code"


@pytest.mark.parametrize("arguments", [[TRUST], ["--trust_remote_code"], ["--trust-remote-code=true"]])
def test_code_that_an_engine_would_run_must_have_a_commit(small_hub, folder, arguments):
    small_hub.add("models", "org/code", ONE)  # and no org/slow
    (said,) = code_problems(str(folder), arguments, TRUST)
    assert said.startswith(f"checkpoint {folder}: its auto_map names code of org/slow: ") and len(said) > 120
    assert code_words(str(folder), arguments, TRUST) is None


def test_code_that_is_not_run_and_has_no_commit_is_said(small_hub, folder):
    small_hub.add("models", "org/code", ONE)
    assert code_commits(str(folder)) == {"org/code": ONE}
    assert code_problems(str(folder), [], TRUST) == [] == code_problems(str(folder), [TRUST], None)
    said = code_words(str(folder), ["--dtype", "auto"], TRUST)
    assert said.startswith("the fingerprint has no commit of the code that auto_map names") and "org/slow (" in said
    small_hub.add("models", "org/slow", TWO)
    small_hub.forget()
    assert code_words(str(folder), [], TRUST) is None and code_problems(str(folder), [TRUST], TRUST) == []


def test_preflight_refuses_code_without_a_commit_and_the_plan_says_what_it_lacks(small_hub, folder):
    small_hub.add("models", "org/model", ONE)
    small_hub.add("models", "org/code", ONE)
    checkpoint = f"variants.bf16.checkpoint={folder}"
    prepared, plan = planned(checkpoint)
    assert "org/slow (" in unfingerprinted_code(plan.sessions[0], prepared.engine)
    assert not any("org/slow" in line for line in problems(prepared, plan))
    prepared, plan = planned(checkpoint, f"variants.bf16.engine_args=[{TRUST}]")
    assert unfingerprinted_code(plan.sessions[0], prepared.engine) is None
    assert any(f"{folder}: its auto_map names code of org/slow" in line for line in problems(prepared, plan))
