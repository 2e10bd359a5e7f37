"""Packages are installed by uv under pip's settings, and by pip where uv cannot."""

import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from harness.machine import packages
from harness.machine.packages import installing, removing, uv_settings

PIP_CONF = """
[global]
index-url = https://name:secret@packages.example/simple
extra-index-url = https://one.example/simple
    https://two.example/simple
timeout = 20
no-cache-dir = true
[install]
find-links = /wheels
    /more
timeout = 30
"""
AS_UV = {
    "UV_DEFAULT_INDEX": "https://name:secret@packages.example/simple",
    "UV_INDEX": "https://one.example/simple https://two.example/simple",
    "UV_FIND_LINKS": "/wheels,/more",
    "UV_HTTP_TIMEOUT": "30",
}


@pytest.fixture
def listed(tmp_path):
    """What pip says of a pip.conf and PIP_ variables."""

    def run(conf: str, **variables: str) -> str:
        (tmp_path / "pip.conf").write_text(conf)
        env = {"PIP_CONFIG_FILE": str(tmp_path / "pip.conf"), "PATH": "", "HOME": str(tmp_path), **variables}
        command = [sys.executable, "-m", "pip", "config", "list"]
        lines = subprocess.check_output(command, env=env, text=True).splitlines()
        # files of this machine beside the given one
        return "\n".join(line for line in lines if not line.startswith(("global.cert", "global.constraint")))

    return run


def test_pips_settings_are_handed_to_uv(listed):
    said = [line for line in listed(PIP_CONF).splitlines() if "/opt/" not in line]
    assert uv_settings("\n".join(said), {}) == AS_UV | packages.AS_PIP
    mine = {"UV_INDEX": "mine", "UV_INDEX_STRATEGY": "first-index"}
    assert uv_settings("\n".join(said), mine) == {k: v for k, v in AS_UV.items() if k != "UV_INDEX"}


def test_variables_go_before_files_and_the_command_before_all_commands(listed):
    said = listed("[global]\nindex-url = https://file.example\n", PIP_INDEX_URL="https://variable.example")
    found = uv_settings(said, {})
    assert found is not None and found["UV_DEFAULT_INDEX"] == "https://variable.example"


def test_a_setting_without_a_counterpart_leaves_it_to_pip(listed, monkeypatch):
    said = listed("[install]\nonly-binary = :all:\n")
    assert uv_settings(said, {}) is None
    monkeypatch.setattr(packages, "pip_settings", lambda: said)
    (attempt,) = installing("/env/bin/python", ["x"])
    assert attempt.command[1:3] == ["-m", "pip"]


def test_an_extra_index_that_cannot_be_reached_is_left_out_and_pip_comes_last(monkeypatch):
    monkeypatch.setattr(packages, "pip_settings", lambda: "")
    monkeypatch.setattr(packages, "uv_program", lambda: "uv")
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with socket.create_server(("127.0.0.1", 0)) as server:
        here = f"http://127.0.0.1:{server.getsockname()[1]}/simple"
        line = ["--retries", "1", f"--extra-index-url={here}", "--extra-index-url", "http://127.0.0.1:9", "torch==2"]
        by_uv, by_pip = installing("/env/bin/python", line)
    at = ["uv", "pip", "install", "--python", "/env/bin/python"]
    assert by_uv.command == [*at, "--extra-index-url", here, "torch==2"] and by_uv.env["UV_HTTP_RETRIES"] == "1"
    assert by_pip.command[-8:] == ["install", "--no-compile", *line]
    monkeypatch.setattr(packages, "uv_program", lambda: None)
    assert [attempt.command[-2:] for attempt in removing("/env/bin/python", ["x"])] == [["--yes", "x"]]


def test_an_index_behind_a_proxy_counts_as_reached(monkeypatch):
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    assert packages.is_reached("https://127.0.0.1:9/simple") and packages.is_reached("file:///simple")


def test_without_pip_uvs_settings_alone_hold(monkeypatch):
    monkeypatch.setattr(packages, "pip_settings", lambda: None)
    monkeypatch.setattr(packages, "uv_program", lambda: "uv")
    (attempt,) = installing("/env/bin/python", ["x"])
    assert attempt.command[0] == "uv" and attempt.env == {}


def wheel(folder: Path) -> None:
    with zipfile.ZipFile(folder / "tiny_one-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("tiny_one.py", "")
        archive.writestr("tiny_one-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-one\nVersion: 1.0\n")
        archive.writestr(
            "tiny_one-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("tiny_one-1.0.dist-info/RECORD", "")


@pytest.mark.parametrize("by", ["uv", "pip"])
def test_both_install_and_remove_in_an_environment_without_pip(by, tmp_path, monkeypatch):
    wheel(tmp_path)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "env"], check=True)
    python = str(tmp_path / "env" / "bin" / "python")
    if by == "pip":
        monkeypatch.setattr(packages, "uv_program", lambda: None)
    line = ["--no-index", "--find-links", str(tmp_path), "tiny-one"]
    for attempts, there in [(installing(python, line), True), (removing(python, ["tiny-one"]), False)]:
        subprocess.run(attempts[0].command, env={**attempts[0].env, "HOME": str(tmp_path), "PATH": ""}, check=True)
        assert (subprocess.run([python, "-c", "import tiny_one"], stderr=subprocess.DEVNULL).returncode == 0) == there
