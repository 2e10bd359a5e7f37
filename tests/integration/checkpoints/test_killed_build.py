"""A build that is killed leaves nothing that looks whole, nothing that runs on, and nothing behind the next one."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.checkpoints.beside import making
from harness.checkpoints.prepare import Workshop
from harness.engines.environment import EnvironmentConfig

pytestmark = pytest.mark.timeout(60)

# In the place of the compression environment's interpreter: it writes what half a checkpoint looks like, and waits.
TOOL = """#!/bin/bash
[ "$1" = -c ] && exit 1  # asked for its packages: it has none to tell
out="$3"; here="$(dirname "$0")"
echo '{}' > "$out/config.json"; head -c 64 /dev/zero > "$out/model.safetensors"
echo $$ > "$here/pid.tmp"; mv "$here/pid.tmp" "$here/pid"
[ -e "$here/go" ] || sleep 300
"""
RECIPE = {"quantization": {"method": "rtn", "scheme": "FP8_DYNAMIC"}, "ignore": []}
BUILD = """
import sys
from pathlib import Path
from harness.checkpoints.prepare import Workshop
from harness.engines.environment import EnvironmentConfig
folder = Path(sys.argv[1])
Workshop(EnvironmentConfig(python=str(folder / "tool")), folder / "cache", folder / "log", print).prepare(
    str(folder / "model"), %r)
"""


def appears(path: Path) -> None:
    while not path.exists():  # the test's timeout bounds it
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def workshop_in(folder: Path) -> tuple[Workshop, str]:
    """A workshop whose tool writes half a checkpoint and waits, and a model."""
    model, tool = folder / "model", folder / "tool"
    model.mkdir()
    (model / "config.json").write_text('{"model_type": "llama"}')
    (model / "model.safetensors").write_bytes(b"\2\0\0\0\0\0\0\0{}")
    tool.write_text(TOOL)
    tool.chmod(0o755)
    config = EnvironmentConfig(python=str(tool))
    return Workshop(config, folder / "cache", folder / "log", lambda said: None), str(model)


def test_a_killed_build_is_made_again(tmp_path):
    workshop, model = workshop_in(tmp_path)
    command = [sys.executable, "-c", BUILD % RECIPE, str(tmp_path)]
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    builder = subprocess.Popen(command, env=env)
    appears(tmp_path / "pid")
    worker = int((tmp_path / "pid").read_text())
    builder.send_signal(signal.SIGKILL)
    builder.wait()

    made = tmp_path / "cache" / "checkpoints"
    assert [path.name[0] for path in made.iterdir() if path.is_dir()] == ["."], "half-made, under a hidden name"
    assert not workshop.is_made(model, RECIPE)
    while alive(worker):
        time.sleep(0.05)

    (tmp_path / "go").touch()
    checkpoint = workshop.prepare(model, RECIPE)
    (home,) = [path for path in made.iterdir() if path.is_dir()]
    assert str(home) == checkpoint.location and (home / "model.safetensors").stat().st_size == 64
    assert workshop.is_made(model, RECIPE)


def test_a_checkpoint_is_made_beside_other_work(tmp_path):
    workshop, model = workshop_in(tmp_path)
    (tmp_path / "go").touch()
    with making(workshop, model, RECIPE):
        appears(tmp_path / "pid")
    assert workshop.is_made(model, RECIPE), "waited for"


def test_an_error_of_the_other_work_stops_it(tmp_path):
    workshop, model = workshop_in(tmp_path)
    with pytest.raises(KeyboardInterrupt), making(workshop, model, RECIPE):
        appears(tmp_path / "pid")
        raise KeyboardInterrupt
    assert not alive(int((tmp_path / "pid").read_text())) and not workshop.is_made(model, RECIPE)
