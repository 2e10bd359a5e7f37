"""`--engine vllm==0.18.1`: what that version of an engine can read of a checkpoint."""

from dataclasses import dataclass, field
from pathlib import Path

from packaging.version import InvalidVersion, Version

from harness.checkpoints import served_files
from harness.checkpoints.compatibility import config_overrides, problems, repair_words
from harness.checkpoints.inspection.problems import Problem
from harness.engines import ENGINES, engine_class
from harness.engines.releases import Release
from harness.errors import HarnessError, did_you_mean


@dataclass(frozen=True)
class AskedEngine:
    name: str
    release: Release | None  # None: nothing is known of this version


@dataclass(frozen=True)
class Reading:
    says: str
    problems: list[Problem] = field(default_factory=list)


def parse_engine(text: str) -> AskedEngine:
    """Parse KIND==VERSION. Raises HarnessError."""
    kind, equals, version = text.partition("==")
    if not equals or not kind or not version:
        raise HarnessError(f"--engine {text}: write KIND==VERSION, like vllm==0.18.1")
    if kind not in ENGINES:
        raise HarnessError(f"--engine {text}: unknown engine {kind!r}{did_you_mean(kind, list(ENGINES))}")
    try:
        Version(version)
    except InvalidVersion:
        raise HarnessError(f"--engine {text}: {version!r} is not a version; write it like vllm==0.18.1") from None
    return AskedEngine(f"{kind} {version}", engine_class(kind).release_of(version))


def read_by(engine: AskedEngine, location: str, revision: str | None) -> Reading:
    if engine.release is None:
        return Reading("not checked: what this version reads is not known here (known: vllm from 0.12.0 on)")
    path = Path(location).expanduser()
    files = served_files.read(str(path.parent) if path.is_file() else location, revision)
    if files is None:
        return Reading("not checked: config.json cannot be read")
    found = problems(files, engine.release)
    if any(problem.level == "error" for problem in found):
        return Reading("cannot serve this checkpoint: see the errors", found)
    overrides = config_overrides(files, engine.release)
    return Reading(repair_words(overrides) if overrides else "reads this checkpoint", found)
