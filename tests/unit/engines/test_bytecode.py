"""Environments made here keep their bytecode, whatever the shell says; those of others are left alone."""

import sys
import time

import pytest

from harness.engines import Deployment, environment, launched
from harness.engines.environment import EnvironmentConfig
from harness.engines.sglang import Sglang, SglangConfig
from harness.engines.vllm_gemm import VllmGemm

MADE, GIVEN = EnvironmentConfig("tools", install=["x"]), EnvironmentConfig("tools", python=sys.executable)


@pytest.mark.parametrize(("config", "writes"), [(MADE, True), (GIVEN, False)])
def test_bytecode_is_written_in_an_environment_made_here_only(config, writes, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    command = [sys.executable, "-c", "import sys; print('writes:', not sys.dont_write_bytecode)"]
    environment.run_logged(command, tmp_path / "log", "tools", environment.variables(config))
    assert f"writes: {writes}\n" in (tmp_path / "log").read_text()


def test_every_pip_of_an_environment_keeps_its_bytecode(tmp_path, monkeypatch):
    given = []

    def ran(command, log, what, env=None):
        environment.directory(config, tmp_path).mkdir(parents=True, exist_ok=True)
        given.append((command, env))

    config = EnvironmentConfig("tools", install=["x"], uninstall=["y"], env={"CMAKE_ARGS": "-DX=1"})
    monkeypatch.setattr(environment, "run_logged", ran)
    environment.ensure(config, tmp_path, tmp_path / "log")
    pips = [env for command, env in given if "pip" in command]
    assert len(pips) == 2 and all(env["PYTHONDONTWRITEBYTECODE"] == "" for env in pips)
    assert [env["CMAKE_ARGS"] for env in pips if "CMAKE_ARGS" in env] == ["-DX=1"], "of what is built"


@pytest.mark.parametrize(("python", "kept"), [(None, ""), (sys.executable, None)])
def test_servers_and_gemm_workers_get_it(python, kept, tmp_path, monkeypatch):
    class Seen(Exception):
        pass

    def process(command, env, *_):
        raise Seen(env.get("PYTHONDONTWRITEBYTECODE"))

    monkeypatch.setattr(launched, "ServerProcess", process)
    engine = Sglang(SglangConfig(kind="sglang", python=python, environment=MADE), tmp_path)
    with pytest.raises(Seen) as seen, engine.serve(Deployment("v", "m"), tmp_path / "log"):
        pass
    assert seen.value.args == (kept,)
    assert VllmGemm(engine).command(tmp_path / "spec")[1].get("PYTHONDONTWRITEBYTECODE") == kept


def test_what_the_user_sets_for_an_engine_comes_last(tmp_path, monkeypatch):
    given = {}
    engine = Sglang(SglangConfig(environment=MADE, env={"PYTHONDONTWRITEBYTECODE": "1"}), tmp_path)
    monkeypatch.setattr(launched, "ServerProcess", lambda command, env, *_: given.update(env) or 1 / 0)
    with pytest.raises(ZeroDivisionError), engine.serve(Deployment("v", "m"), tmp_path / "log"):
        pass
    assert given["PYTHONDONTWRITEBYTECODE"] == "1"


def test_a_new_environments_server_is_compiled_beside_what_is_done_meanwhile(tmp_path, monkeypatch):
    (tmp_path / "served.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setattr(Sglang, "module", "served")
    home = environment.directory(MADE, tmp_path)
    (home / "bin").mkdir(parents=True)
    (home / "bin" / "python").symlink_to(sys.executable)
    with Sglang(SglangConfig(environment=MADE), tmp_path).compiling(tmp_path / "log"):
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob("__pycache__/served.*.pyc")) and time.monotonic() < deadline:
            time.sleep(0.02)
    assert list(tmp_path.glob("__pycache__/served.*.pyc"))


def test_nothing_is_compiled_in_an_environment_of_someone_else(tmp_path):
    with Sglang(SglangConfig(python=sys.executable), tmp_path).compiling(tmp_path / "log"):
        assert not (tmp_path / "log").exists()
