"""Where results of interference tests are kept: `cache_dir/interference`, a file for each machine and engine."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from harness.machine.disk import naming, write_atomically
from harness.records.interference import Interference

FOLDER = "interference"


def known(cache_dir: Path, machine: Mapping[str, object]) -> Interference | None:
    """Return the result for this machine; None where none was measured, or its file cannot be read."""
    try:
        found = Interference.from_json(json.loads(_path(cache_dir, machine).read_text()))
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return found if found.machine == json.loads(json.dumps(machine)) else None


def keep(cache_dir: Path, result: Interference) -> None:
    """Store a result for later sweeps. Raises DiskFull."""
    path = _path(cache_dir, result.machine)
    with naming(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(result.to_json(), indent=1) + "\n")


def _path(cache_dir: Path, machine: Mapping[str, object]) -> Path:
    text = json.dumps(machine, sort_keys=True)
    return cache_dir / FOLDER / f"{hashlib.sha256(text.encode()).hexdigest()[:12]}.json"
