"""The whole hub path as a user walks it: subprocesses with HF_ENDPOINT, and a home folder of their own."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import commands
from tests.hub.contents import default_hub
from tests.hub.server import Hub, serving
from tests.hub.user import TOKEN, environment

Run = Callable[..., subprocess.CompletedProcess]


@pytest.fixture(scope="session")
def whole_hub():
    with serving(default_hub()) as hub:
        yield hub


@pytest.fixture
def hub(whole_hub: Hub):
    """The default hub, without faults, tokens or earlier requests."""
    whole_hub.faults, whole_hub.asked, whole_hub.tokens = [], [], set()
    yield whole_hub
    whole_hub.faults, whole_hub.tokens = [], set()


@pytest.fixture
def python(hub: Hub, tmp_path: Path) -> Run:
    """python(*arguments, home=..., **environment): Python with the test's hub; no token in its output, no traceback."""

    def run(*arguments: str, home: Path = tmp_path, **more: str) -> subprocess.CompletedProcess:
        env = environment(hub, home, **more)
        command = [sys.executable, *arguments]
        if arguments[0] == "-m":
            done = commands.run(command, env=env)
        else:
            done = subprocess.run(command, capture_output=True, text=True, timeout=250, env=env, check=False)
        assert TOKEN not in done.stdout + done.stderr and "Traceback" not in done.stdout + done.stderr, done
        return done

    return run


@pytest.fixture
def harness(python: Run, tmp_path: Path) -> Run:
    """harness(*overrides): a study of one variant by the simulated engine, of suites alone, results in tmp_path."""

    def run(*overrides: str, home: Path = tmp_path, **more: str) -> subprocess.CompletedProcess:
        own = [f"{name}_dir={tmp_path / name}" for name in ("cache", "results", "reports")]
        fixed = ["engine=simulated", "variant=[bf16]", "baseline=bf16", "noise_runs=0", "scenario=[]", "name=hub"]
        fixed += ["mlflow.enabled=false", "progress=plain"]
        return python("-m", "harness", *fixed, *own, *overrides, home=home, **more)

    return run
