"""An environment that is installed beside another one."""

import json
import sys
import time

import pytest

from harness.engines import ahead, environment
from harness.engines.environment import EnvironmentConfig
from harness.errors import HarnessError
from harness.paths import PACKAGE

MAKE = """
import time
from harness.engines import environment

def make(config, home, log):
    home.mkdir(parents=True)
    time.sleep(1)  # so that the other one has to wait
    (home / "complete").write_text(config.env["TOKEN"])

environment._make = make
"""


def test_it_is_installed_in_another_process_and_waited_for_where_it_is_needed(tmp_path, monkeypatch):
    config = EnvironmentConfig("tools", install=["x"], env={"TOKEN": "s3cret"})
    (tmp_path / "sitecustomize.py").write_text(MAKE)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{PACKAGE.parent}")
    monkeypatch.setattr(environment, "_make", lambda *_: pytest.fail("installed here, not beside"))
    home, log = environment.directory(config, tmp_path), tmp_path / "logs" / "tools.log"
    with ahead.installing(config, tmp_path, log):
        deadline = time.monotonic() + 60
        while not home.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not environment.is_ready(config, tmp_path)
        environment.ensure(config, tmp_path, tmp_path / "log")
        assert (home / "complete").read_text() == "s3cret"
    assert "s3cret" not in log.read_text(), "the task is on no command line"


def test_nothing_is_started_for_an_environment_that_is_ready(tmp_path):
    with ahead.installing(EnvironmentConfig("tools", python=sys.executable), tmp_path, tmp_path / "log"):
        assert not (tmp_path / "log").exists()


def test_a_failure_is_left_to_who_needs_the_environment(tmp_path, monkeypatch):
    task = [{"name": "tools", "install": ["x"]}, str(tmp_path), str(tmp_path / "log")]
    monkeypatch.setenv(ahead.VARIABLE, json.dumps(task))

    def fails(*_):
        raise HarnessError("tools: no such package")

    monkeypatch.setattr(environment, "_make", fails)
    with pytest.raises(HarnessError, match="no such package"):
        ahead.main()
    assert not environment.is_ready(EnvironmentConfig("tools", install=["x"]), tmp_path)
