import pytest

from harness.accuracy import sandbox
from harness.errors import HarnessError


@pytest.fixture
def nothing_installed(monkeypatch):
    monkeypatch.setattr(sandbox.shutil, "which", lambda name: None)
    sandbox._find.cache_clear()
    yield
    sandbox._find.cache_clear()


def test_no_sandbox_is_refused_with_the_reason_and_the_way_out(nothing_installed):
    with pytest.raises(HarnessError, match=r"neither bwrap nor unshare.*allow_unsandboxed: true"):
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
    from pathlib import Path

    visible = [Path(path) for path in sandbox._visible()]
    project = Path(sandbox.__file__).resolve()
    for hidden in (Path.home(), project, Path("/etc/shadow"), Path("/var"), Path("/proc"), Path("/")):
        assert not any(hidden == path or path in hidden.parents for path in visible), hidden
