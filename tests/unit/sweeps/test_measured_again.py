"""A re-run says which cells of an existing store are measured again, and why."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from harness.analysis.load_study import load_study
from harness.engines.endpoint import Endpoint, EndpointConfig
from harness.records.manifest import Manifest
from harness.records.record import Record
from harness.records.store import Store
from harness.sweeps.composing import compose
from harness.sweeps.fingerprint import fingerprint
from harness.sweeps.measured_again import NOW_BUILD, measured_again
from harness.sweeps.plan import Plan, build_plan
from harness.sweeps.prepare import prepare


@pytest.fixture(scope="module")
def composed():
    return compose.compose_sweep(
        ["+sweep=quickstart", "variant=[bf16,fp16]", "suite=[gsm8k,perplexity]", "scenario=[rag_256_8]",
         "data.root=pocket", "judge=null", "noise_runs=0"]
    )  # fmt: skip


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    return folder


@pytest.fixture
def planned(composed, model, tmp_path):
    def plan(**changes) -> Plan:
        config = replace(composed, model=str(model), cache_dir=str(tmp_path / "cache"), **changes)
        return build_plan(prepare(config))

    return plan


def stored(root, plan, change=lambda inputs: inputs, keep=lambda cell: True) -> Store:
    """A store in which each cell was measured with its inputs changed."""
    store = Store(root / "results")
    for cell in filter(keep, plan.cells):
        inputs = change(json.loads(json.dumps(cell.inputs)))
        result = {"primary": "x", "scores": {}} if cell.kind == "accuracy" else {}
        facts = {"flags": [], "engine": {}, "host": {}, "started_at": "2026-01-01", "duration_s": 1.0, "harness": "0"}
        named = {"cell": cell.to_json() | {"fingerprint": fingerprint(inputs)}, "fingerprint": fingerprint(inputs)}
        record = {"schema": 1, **named, "inputs": inputs, "result": result, **facts}
        store.write(Record.from_json(record), [])
    return store


def older(inputs):
    """As versions before wrote the identity of a directory."""
    return inputs | {"weights": {"weights": "ab" * 32}, "tokenizer": {"weights": "ab" * 32}}


def test_nothing_is_said_of_a_store_that_is_complete_or_empty(planned, tmp_path):
    plan = planned()
    assert measured_again(plan.cells, Store(tmp_path / "empty")) == []
    assert measured_again(plan.cells, stored(tmp_path, plan)) == []


def test_the_new_identity_is_said_in_one_line(planned, tmp_path):
    plan = planned()
    said = measured_again(plan.cells, stored(tmp_path, plan, older))
    count = len(plan.cells)
    assert said == [
        "identity of the checkpoint is now its content, and identity of the tokenizer is now the content of its files: "
        f"{count} cells of bf16, fp16 are measured again"
    ]


def test_only_what_was_measured_is_measured_again(planned, tmp_path):
    plan = planned()
    store = stored(tmp_path, plan, older, keep=lambda cell: cell.key == "fp16/gsm8k")
    [line] = measured_again(plan.cells, store)
    assert line.endswith(": 1 cell of fp16 is measured again")


def hub_id(inputs):
    return inputs | {"weights": {"hub": "org/m", "revision": "main"}, "tokenizer": {"hub": "org/m", "revision": "main"}}


def commit(sha):
    found = {"hub": "org/m", "commit": sha * 40}
    return lambda inputs: inputs | {"weights": found, "tokenizer": found}


def suite_data(digest):
    return lambda inputs: inputs | ({"suite": inputs["suite"] | {"data": {"source": "hub", "digest": digest}}}
                                    if inputs.get("suite", {}).get("kind") == "lm_eval" else {})  # fmt: skip


@pytest.mark.parametrize(
    ("before", "now", "said"),
    [
        (hub_id, commit("1"), "identity of a checkpoint on the hub is now its commit"),
        (commit("1"), commit("2"), "the checkpoint has another commit, and the tokenizer has another commit"),
        (suite_data("openai/gsm8k"), suite_data("1" * 40), "identity of data on the hub is now its commit"),
        (suite_data("2" * 40), suite_data("1" * 40), "the data of the suite changed"),
        (lambda i: i | {"engine": {"kind": "old"}}, lambda i: i, "the engine or its settings changed"),
        (lambda i: i | {"weights": {"from": {"gguf": "a", "bytes": 1}, "recipe": {}}},
         lambda i: i | {"weights": {"from": {"content": "b"}, "recipe": {}}},
         "identity of the checkpoint is now its content"),
        (lambda i: i | {"weights": {"from": i["weights"], "recipe": {"a": 1}}},
         lambda i: i | {"weights": {"from": i["weights"], "recipe": {"a": 2}}},
         "the checkpoint or the recipe that makes it changed"),
    ],
)  # fmt: skip
def test_each_reason_has_its_words(planned, tmp_path, before, now, said):
    plan = planned()
    store = stored(tmp_path, plan, before)
    cells = [replace(cell, inputs=now(cell.inputs), fingerprint=fingerprint(now(cell.inputs))) for cell in plan.cells]
    lines = measured_again(cells, store)
    assert [line.split(": ")[0] for line in lines] == [said]


def test_changed_weights_are_said_to_be_other_content(planned, model, tmp_path):
    store = stored(tmp_path, planned())
    (model / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}other")
    [line] = measured_again(planned().cells, store)
    assert line.startswith("the checkpoint has other content: ")


def test_the_cells_stay_valid_for_a_report_of_the_store(planned, tmp_path):
    plan = planned()
    store = stored(tmp_path, plan, older, keep=lambda cell: cell.kind == "accuracy")
    records = [json.loads(path.read_text()) for path in store.cells.glob("*/record.json")]
    old = [record["cell"] | {"fingerprint": record["fingerprint"]} for record in records]
    variants = {name: {"label": name, "checkpoint": None, "scheme": {}} for name in ("bf16", "fp16")}
    manifest = {"name": "old", "baseline": "bf16", "variants": variants, "suites": ["gsm8k", "perplexity"],
                "scenarios": {}, "cells": old, "margin": 0.01}  # fmt: skip
    store.write_manifest(Manifest.from_json(manifest))
    assert len(load_study(store.root).measured) == len(old) == 4


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"inputs": 7}', b'{"inputs": {"suite": 3, "weights": [[]]}}'])
def test_a_damaged_record_says_nothing_and_stops_nothing(planned, tmp_path, damage):
    plan = planned()
    store = stored(tmp_path, plan, older)
    for path in store.cells.glob("*/record.json"):
        path.write_bytes(damage)
    assert isinstance(measured_again(plan.cells, store), list)


def test_a_key_is_not_taken_for_one_that_it_begins(planned, tmp_path):
    store = stored(tmp_path, planned(), older, keep=lambda cell: cell.key == "bf16/gsm8k")
    assert measured_again([SimpleNamespace(key="bf16", fingerprint="x", inputs={}, variant="bf16")], store) == []


def test_another_build_of_an_endpoint_is_said(composed, planned, tmp_path, monkeypatch):
    build = {"version": "0.31.0", "id": "m"}
    address = {"base_url": "0123456789abcdef", "model": "m"}
    monkeypatch.setattr(Endpoint, "deployment_fingerprint", lambda self, deployment: address | {"build": build})
    engine = EndpointConfig(base_url="http://127.0.0.1:9", model="m")

    def again(change):
        plan = planned(engine=engine)
        (line,) = measured_again(plan.cells, stored(tmp_path / str(len(list(tmp_path.iterdir()))), plan, change))
        return line.partition(": ")[0] + ": " + line.partition(": ")[2].rpartition(": ")[0]

    without = {name: value for name, value in build.items() if name != "version"}
    assert NOW_BUILD in again(lambda inputs: {k: v for k, v in inputs.items() if k != "build"})
    assert "version 0.30.2 -> 0.31.0" in again(lambda inputs: inputs | {"build": build | {"version": "0.30.2"}})
    assert "version unknown -> 0.31.0" in again(lambda inputs: inputs | {"build": without})
