"""Real pynvml and our own code over a real C library: a stand-in for the driver's, which no machine of CI has."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import commands

SOURCE = Path(__file__).with_name("nvml_standin.c")
COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


@dataclass
class Standin:
    """`state`: the file that it reads at every question. The loader wants to know the library before Python starts."""

    library: Path
    state: Path

    def environment(self, **more: str) -> dict[str, str]:
        return {**os.environ, "LD_LIBRARY_PATH": str(self.library), "STANDIN_STATE": str(self.state), **more}

    def run(self, *command: str, **more: str) -> subprocess.CompletedProcess:
        environment = {key: value for key, value in self.environment().items() if not key.startswith("CUDA_")}
        whole, environment = [sys.executable, *command], environment | more
        if command[0] == "-m":
            return commands.run(whole, env=environment, timeout=200)
        return subprocess.run(whole, env=environment, capture_output=True, text=True, timeout=200, check=False)


@pytest.fixture(scope="session")
def library(tmp_path_factory) -> Path:
    if COMPILER is None:
        pytest.skip("no C compiler for the stand-in of libnvidia-ml.so.1")
    folder = tmp_path_factory.mktemp("nvml")
    command = [COMPILER, "-shared", "-fPIC", "-Wall", "-Werror", "-o", str(folder / "libnvidia-ml.so.1"), str(SOURCE)]
    subprocess.run(command, check=True)
    return folder


@pytest.fixture
def standin(library, tmp_path) -> Standin:
    state = tmp_path / "state"
    state.write_text("")
    return Standin(library, state)
