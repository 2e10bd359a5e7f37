"""Isolated Python environments: made once, keyed by what is in them, shared between sweeps.

An engine and the compression tools pin packages that cannot live together, nor with the harness.
"""

import contextlib
import fcntl
import hashlib
import json
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from harness.engines.credentials import argument_problems
from harness.errors import DiskFull, HarnessError
from harness.machine import packages
from harness.records.fields import Facts
from harness.redaction.masked_data import mask_data
from harness.redaction.masking import mask_urls

STOP_GRACE_S = 10.0
ASK_TIMEOUT_S = 60.0
BYTECODE = {"PYTHONDONTWRITEBYTECODE": ""}  # not set
BUILD_JOBS = ("MAX_JOBS", "CMAKE_BUILD_PARALLEL_LEVEL", "LLAMA_CPP_BUILD_JOBS")  # its speed only
PACKAGES = """
import importlib.metadata, json, sys
sys.path = [path for path in sys.path if path]  # the folder that we happen to be in is none of its packages
found = {(d.metadata["Name"], d.version) for d in importlib.metadata.distributions()}
print(json.dumps([list(sys.version_info[:3]), *sorted(map(str, found))]))
"""


@dataclass
class EnvironmentConfig:
    """`install`: argument lines for `pip install`, run in order; `uninstall`: packages that must not be there; `env`:
    variables for those that are built here.
    """

    name: str = "environment"  # folder under cache_dir, with a digest of what is installed
    python: str | None = None  # an interpreter that has everything already; nothing is installed then
    install: list[str] = field(default_factory=list)  # arguments of pip install
    uninstall: list[str] = field(default_factory=list)  # packages removed after that
    env: dict[str, str] = field(default_factory=dict)  # environment variables while it is used


def fingerprint(config: EnvironmentConfig) -> Facts:
    """What decides the results of what runs in it: of an interpreter that was given, the packages that it has now."""
    if config.python:
        return {"python": installed_digest(config.python) or config.python}
    env = {key: value for key, value in config.env.items() if key not in BUILD_JOBS}
    env = mask_data(env, mask_urls)  # another password of an index is the same index
    built = {"env": env} if env else {}
    return {"install": list(config.install), "uninstall": list(config.uninstall), **built}


@lru_cache
def installed_digest(python: str) -> str | None:
    """Digest of its version and of its packages' names and versions; None where it cannot be asked."""
    try:
        done = subprocess.run(
            [python, "-c", PACKAGES], capture_output=True, text=True, timeout=ASK_TIMEOUT_S, check=True
        )
    except subprocess.TimeoutExpired:
        raise HarnessError(
            f"{python} does not tell its packages within {ASK_TIMEOUT_S:.0f} s; is it a Python?"
        ) from None
    except (OSError, subprocess.CalledProcessError):
        return None
    return hashlib.sha256(done.stdout.encode()).hexdigest()[:16]


def directory(config: EnvironmentConfig, cache_dir: Path) -> Path:
    identity = [fingerprint(config), platform.python_version_tuple()[:2], platform.machine(), sys.platform]
    key = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:12]
    return cache_dir / "environments" / f"{config.name}-{key}"


def is_ready(config: EnvironmentConfig, cache_dir: Path) -> bool:
    return bool(config.python) or (directory(config, cache_dir) / "complete").exists()


def python_path(config: EnvironmentConfig, cache_dir: Path) -> Path:
    return Path(config.python) if config.python else directory(config, cache_dir) / "bin" / "python"


def variables(config: EnvironmentConfig) -> dict[str, str]:
    """Variables for what runs in it.

    An environment made here keeps its bytecode, whatever the shell says: without it each of the three processes of a
    vLLM server compiles for 12 s what it imports.
    """
    return {} if config.python else dict(BYTECODE)


def problems(config: EnvironmentConfig) -> list[str]:
    if config.python and not shutil.which(config.python):
        return [f"{config.name}: python {config.python} is not an executable file; correct it, or leave it out"]
    if not config.python and not config.install:
        return [f"{config.name}: neither python nor install is set; say where it is or what to install"]
    words = [] if config.python else [word for line in config.install for word in line.split()]
    return argument_problems(
        f"{config.name}: its install", words, "export PIP_INDEX_URL or PIP_EXTRA_INDEX_URL, or use ~/.netrc"
    )


def ensure(config: EnvironmentConfig, cache_dir: Path, log: Path) -> Path:
    """The environment's interpreter; makes the environment first where it is missing. Raises HarnessError."""
    if is_ready(config, cache_dir):
        return python_path(config, cache_dir)
    home = directory(config, cache_dir)
    with locked(home.with_name(home.name + ".lock")):
        if not is_ready(config, cache_dir):  # someone else may have made it while we waited
            shutil.rmtree(home, ignore_errors=True)  # a half-made one: pip cannot be trusted to mend it
            _make(config, home, log)
    return python_path(config, cache_dir)


def _make(config: EnvironmentConfig, home: Path, log: Path) -> None:
    """Python compiles what is imported, when it is imported; to compile all 15,000 modules here would take longer."""
    python = str(home / "bin" / "python")
    run_logged([sys.executable, "-m", "venv", "--without-pip", str(home)], log, config.name)
    for line in config.install:
        _first_that_works(packages.installing(python, shlex.split(line)), config.env, log, config.name)
    if config.uninstall:
        _first_that_works(packages.removing(python, config.uninstall), {}, log, config.name)
    (home / "complete").write_text(json.dumps(fingerprint(config), indent=1))


def _first_that_works(attempts: list[packages.Attempt], env: dict[str, str], log: Path, what: str) -> None:
    """Raises HarnessError of the last attempt, and DiskFull of any."""
    for attempt in attempts:
        try:
            return run_logged(attempt.command, log, what, {**BYTECODE, **attempt.env, **env})
        except DiskFull:
            raise
        except HarnessError:
            if attempt is attempts[-1]:
                raise


def run_logged(command: list[str], log: Path, what: str, env: dict[str, str] | None = None) -> None:
    """Runs to the end, output to `log`; it dies with us. Raises HarnessError with the end of the log,
    and DiskFull."""
    from harness.engines.process import ServerProcess, log_tail, raise_disk_full

    process = ServerProcess(command, env or {}, log, STOP_GRACE_S)
    try:
        code = process.wait()
    finally:
        process.stop()
    if code != 0:
        raise_disk_full(log)
        raise HarnessError(
            f"{what}: {shlex.join(command[:6])} ... failed with exit code {code}; the end of its log:\n"
            f"{log_tail(log)}\n  the whole log: {log}"
        )


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """One process at a time; the kernel lets go when the holder dies, however it dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
