import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.accuracy import sandbox
from harness.accuracy.sandbox import Limits, container
from harness.accuracy.sandbox.request import Request, visible_paths
from harness.errors import HarnessError


@pytest.fixture
def nothing_installed(monkeypatch):
    monkeypatch.setattr(sandbox.shutil, "which", lambda name: None)
    sandbox._find.cache_clear()
    yield
    sandbox._find.cache_clear()


def test_no_sandbox_is_refused_with_the_reason_and_the_way_out(nothing_installed):
    with pytest.raises(
        HarnessError, match=r"none of bwrap, unshare, podman, docker is installed.*allow_unsandboxed: true"
    ):
        sandbox.find()
    assert len(sandbox.problems()) == 1


def test_the_risk_can_be_accepted(nothing_installed):
    assert not sandbox.find(allow_unsandboxed=True).isolates
    assert sandbox.problems(allow_unsandboxed=True) == []


def test_a_program_that_does_not_work_is_named_with_what_it_said(monkeypatch, tmp_path):
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'bwrap: No permissions to create a new namespace' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(sandbox.shutil, "which", lambda name: str(broken) if name == "bwrap" else None)
    sandbox._find.cache_clear()
    with pytest.raises(HarnessError, match="No permissions to create a new namespace"):
        sandbox.find()
    sandbox._find.cache_clear()


def test_home_folders_and_the_project_are_not_among_what_is_visible():
    visible = [Path(path) for path in visible_paths()]
    project = Path(sandbox.__file__).resolve()
    for hidden in (Path.home(), project, Path("/etc/shadow"), Path("/var"), Path("/proc"), Path("/")):
        assert not any(hidden == path or path in hidden.parents for path in visible), hidden


@pytest.fixture
def clients(monkeypatch, tmp_path):
    """podman and docker that write down what they are asked, and say that all is well."""
    made = {}
    for name in ("podman", "docker"):
        made[name] = tmp_path / name
        made[name].write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/{name}.log\necho yes\n')
        made[name].chmod(0o755)
    container._import_image.cache_clear()
    yield made
    container._import_image.cache_clear()


@pytest.mark.parametrize("name", ["podman", "docker"])
def test_a_container_is_started_with_nothing_to_use_and_nothing_to_keep(clients, name):
    limits = Limits(processes=9, total_memory_bytes=1 << 30, tmp_bytes=1 << 20)
    request = Request(str(clients[name]), (), ["/usr/bin/true"], [("/usr", "/usr")], limits, None)
    line = container.launch(request).line
    text = " ".join(line)
    for part in ("--network none", "--read-only ", "--cap-drop ALL", "no-new-privileges", "--pids-limit 17",
                 "--memory 1073741824", "--memory-swap 1073741824", "--pull never", "size=1048576", "--rm",
                 "type=bind,source=/usr,target=/usr,readonly"):  # fmt: skip
        assert part in text, part
    assert line[-2:] == [container.IMAGE, "/usr/bin/true"] and "--privileged" not in text
    user = int(line[line.index("--user") + 1].split(":")[0])
    assert 61184 <= user < 65520
    assert ("--http-proxy=false" in line) == (name == "podman")  # docker has no such flag


def test_a_container_without_control_groups_asks_for_none(clients):
    request = Request(str(clients["podman"]), ("--cgroups=disabled",), ["x"], [], Limits(), None)
    line = container.launch(request).line
    assert "--cgroups=disabled" in line and not {"--memory", "--pids-limit"} & set(line)


def test_a_container_is_killed_and_removed_by_name(clients, tmp_path):
    launch = container.launch(Request(str(clients["docker"]), (), ["x"], [], Limits(), None))
    name = launch.line[launch.line.index("--name") + 1]
    launch.end()
    said = (tmp_path / "docker.log").read_text().splitlines()
    assert said[-2:] == [f"kill {name}", f"rm --force {name}"]


def test_the_image_is_made_from_nothing_and_only_once(monkeypatch, tmp_path):
    program = tmp_path / "docker"
    log, archive = tmp_path / "log", tmp_path / "archive"
    script = f'echo "$@" >> {log}; [ "$1" = import ] && cat > {archive} && exit 0; exit 1'
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    for _ in range(2):
        container.launch(Request(str(program), (), ["x"], [], Limits(), None))
    assert [line.split()[0] for line in log.read_text().splitlines()] == ["image", "import"]
    assert set(archive.read_bytes()) == {0}  # an archive of no files


def test_what_was_said_by_a_daemon_that_is_not_there_is_the_reason(monkeypatch, tmp_path):
    program = tmp_path / "docker"
    program.write_text("#!/bin/sh\necho 'Cannot connect to the Docker daemon' >&2\nexit 1\n")
    program.chmod(0o755)
    assert "Cannot connect to the Docker daemon" in sandbox.trial(sandbox.Sandbox("container", str(program)))


def test_the_command_sees_no_variable_of_the_client(tmp_path):
    """The stage replaces the environment: podman and docker add to it what they like."""
    from harness.accuracy.sandbox.bounded import Launch, run_bounded

    staged = sandbox.Sandbox("none")._staged(
        [sys.executable, "-c", "import os; print(*os.environ)"], Limits(), tmp_path
    )
    done = run_bounded(
        Launch(staged, {"http_proxy": "http://user:password@host", "PATH": "/usr/bin"}), Limits(wall_s=20)
    )
    assert b"http_proxy" not in done.stdout and b"PATH" in done.stdout


def test_a_folder_that_the_other_user_cannot_enter_is_the_reason(monkeypatch, tmp_path):
    """As root: the stage gives up its user, and a Python that was installed under a umask of 077 is root's alone."""
    from harness.accuracy.sandbox import stage

    (program := tmp_path / "venv/bin/python").parent.mkdir(parents=True)
    program.write_text("")
    program.chmod(0o755)
    (tmp_path / "link").symlink_to(tmp_path / "venv")
    assert stage.hidden(str(program)) is None
    monkeypatch.setattr(stage.os, "access", lambda path, _mode: not str(path).startswith(str(tmp_path / "venv")))
    (tmp_path / "venv").chmod(0o700)
    for way in (program, tmp_path / "link/bin/python"):
        reason = stage.hidden(str(way))
        assert f"{tmp_path}/venv has mode 0700" in reason and f"chmod -R o+rX {tmp_path}/venv" in reason


@pytest.mark.skipif(os.getuid() != 0, reason="only root's sandbox runs the command as another user")
def test_a_python_that_only_root_can_read_is_named(tmp_path):
    found = next((one for one in sandbox.candidates() if sandbox.trial(one) is None), None)
    if found is None:
        pytest.skip("no sandbox works here")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    (tmp_path / "venv").chmod(0o700)
    program = "from harness.accuracy import sandbox; print(*sandbox.problems())"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [tmp_path / "venv/bin/python", "-c", program], capture_output=True, text=True, env=environment
    )
    assert f"chmod -R o+rX {tmp_path}/venv" in done.stdout, done.stderr
