"""Cells of a checkpoint that changes are measured again, and never while it changes."""

import contextlib
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from harness.checkpoints.prepare import Workshop
from harness.console.progress import make_progress
from harness.engines.environment import EnvironmentConfig
from harness.errors import HarnessError
from harness.records.store import Store
from harness.sweeps.composing import compose
from harness.sweeps.estimates.durations import Durations
from harness.sweeps.estimates.estimate import Estimates
from harness.sweeps.execute import execute
from harness.sweeps.measuring.served_session import ServedSession
from harness.sweeps.plan import build_plan
from harness.sweeps.prepare import prepare
from harness.sweeps.run import Run
from tests.unit.checkpoints.changes import CHANGES, NO_TOKENIZER, RECIPE, overwrite


@pytest.fixture(scope="module")
def composed():
    return compose.compose_sweep(
        ["+sweep=quickstart", "variant=[bf16,fp16]", "suite=[perplexity]", "scenario=[rag_256_8]", "data.root=pocket",
         "judge=null"]
    )  # fmt: skip


@pytest.fixture
def fingerprints(composed, checkpoint, tmp_path):
    """{cell: fingerprint}; `own`: the checkpoint of the variant fp16."""
    config = replace(composed, model=str(checkpoint), cache_dir=str(tmp_path / "cache"))

    def planned(own: Path | None = None) -> dict[str, str]:
        fp16 = replace(config.variants["fp16"], checkpoint=str(own) if own else None)
        cells = build_plan(prepare(replace(config, variants=config.variants | {"fp16": fp16}))).cells
        return {cell.key: cell.fingerprint for cell in cells}

    return planned


@pytest.mark.parametrize("change", CHANGES)
def test_every_cell_of_a_changed_checkpoint_is_another(checkpoint, fingerprints, change):
    before = fingerprints()
    CHANGES[change](checkpoint)
    after = fingerprints()
    assert before.keys() == after.keys() and not set(before.values()) & set(after.values())


@pytest.mark.parametrize("change", CHANGES)
def test_other_checkpoints_depend_on_the_dense_models_tokenizer_alone(checkpoint, fingerprints, tmp_path, change):
    """It cuts every prompt, whatever checkpoint a variant has."""
    own = shutil.copytree(checkpoint, tmp_path / "own")
    before = {key: value for key, value in fingerprints(own).items() if key.startswith("fp16/")}
    CHANGES[change](checkpoint)
    changed = {key for key, value in fingerprints(own).items() if before.get(key, value) != value}
    assert changed == (set() if change in NO_TOKENIZER else before.keys())


def test_what_a_compressed_checkpoint_is_made_from_counts(checkpoint, tmp_path):
    """The key of the compression cache: a merged adapter must not meet the checkpoint made before it was merged."""
    workshop = Workshop(EnvironmentConfig("none"), tmp_path / "cache", tmp_path / "log", print)
    before = workshop.location(str(checkpoint), RECIPE)
    CHANGES["weights in the middle of a file"](checkpoint)
    assert workshop.location(str(checkpoint), RECIPE) != before


@pytest.fixture
def fake_tool(tmp_path):
    """Stands for the compression environment's Python: writes a checkpoint."""
    tool = tmp_path / "tool"
    tool.write_text('#!/bin/sh\necho "{}" > "$3/config.json"; head -c 64 /dev/zero > "$3/model.safetensors"\n')
    tool.chmod(0o755)
    return EnvironmentConfig(python=str(tool))


def test_a_made_checkpoint_that_somebody_edits_is_refused(checkpoint, tmp_path, fake_tool):
    """Its cells are known by what it was made from."""

    def prepare():
        return Workshop(fake_tool, tmp_path / "cache", tmp_path / "log", print).prepare(str(checkpoint), RECIPE)

    made = prepare()
    assert prepare() == made
    overwrite(Path(made.location) / "model.safetensors", 32, b"\1")
    with pytest.raises(HarnessError, match=r"has changed since it was made; remove the folder"):
        prepare()
    shutil.rmtree(made.location)
    assert prepare() == made


def test_a_checkpoint_that_changes_after_planning_is_not_measured(composed, checkpoint, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    config = replace(composed, model=str(checkpoint), cache_dir=str(tmp_path / "cache"), suites={})
    prepared = prepare(config)
    plan = build_plan(prepared)
    session = next(session for session in plan.sessions if session.variant == "bf16")
    monkeypatch.setattr(Run, "ready_environment", lambda run: None)
    monkeypatch.setattr("harness.sweeps.measuring.served_session.admitted", lambda *_: None)
    store, progress = Store(tmp_path / "results"), make_progress("plain")
    run = Run(prepared, plan, store, progress, Estimates((), Durations()))
    assert ServedSession(run, session).prepare().digest == session.cells[0].inputs["weights"]["content"]
    started = []

    @contextlib.contextmanager
    def serve(*_):
        started.append(checkpoint)
        CHANGES["tokenizer"](checkpoint)  # while the engine loads
        yield None

    monkeypatch.setattr(ServedSession, "serve", serve)
    for _ in range(2):  # and before it is started
        with store.locked():
            failed = execute(run)
        assert all("has changed since the sweep was planned; run the command again" in said for said in failed.values())
        assert failed.keys() == {cell.key for cell in plan.cells} and len(started) == 1
        run.failed = {}
