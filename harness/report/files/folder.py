"""A report's folder: only files that a report made are removed from it, and nothing is written outside it.

`.files.json` lists what the report wrote, with the SHA-256 of each file. A file that is not listed, or that has changed
since, is the user's own.
"""

import hashlib
import json
import os
import re
from pathlib import Path

from harness.errors import ConfigError
from harness.machine.disk import remove_abandoned, write_atomically
from harness.untrusted.visible import visible

LIST = ".files.json"
_PLAIN = re.compile(r"(?:(?:charts|model_cards|sweep)/)?[\w-][\w.-]*")  # as write_report names its files
_DIGEST = re.compile(r"[0-9a-f]{64}")


def write_files(folder: Path, files: dict[str, str]) -> None:
    """Write each file whole or not at all, and remove what an older report left and this one has no longer.

    Raises ConfigError where a folder inside is a symbolic link.
    """
    folder.mkdir(parents=True, exist_ok=True)
    contents = {name: _encoded(text) for name, text in files.items()}
    parents = {Path(name).parent for name in files} - {Path()}
    for inner in (folder / parent for parent in parents):
        if inner.is_symlink():
            raise ConfigError(
                f"cannot write the report: {inner} is a symbolic link to {os.readlink(inner)}, outside the report's "
                "folder; remove it, or choose another folder"
            )
    for name, digest in _listed(folder).items():
        if name not in files:
            _remove(folder / name, digest)
    made = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(contents.items())}
    _write(folder / LIST, _encoded(json.dumps(made, indent=1) + "\n"))
    for inner in parents:
        (folder / inner).mkdir(exist_ok=True)
    for name, data in contents.items():
        _write(folder / name, data)


def _write(path: Path, data: bytes) -> None:
    remove_abandoned(path)
    write_atomically(path, data)


def _encoded(text: str) -> bytes:
    """What a terminal or a page would obey is visible (a page's own text is already), lone surrogates too."""
    shown = text if text.startswith("<!") else visible(text)
    return shown.encode("utf-8", errors="replace")


def _listed(folder: Path) -> dict[str, str]:
    """What the last report wrote, by name; empty where there is no list or another file has its name."""
    path = folder / LIST
    if path.is_symlink() or not path.is_file():
        return {}
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {name: digest for name, digest in found.items() if _PLAIN.fullmatch(name) and _is_digest(digest)}


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None


def _remove(path: Path, digest: str) -> None:
    """Remove a file that is as the report wrote it."""
    if path.is_symlink() or path.parent.is_symlink() or not path.is_file():
        return
    if hashlib.sha256(path.read_bytes()).hexdigest() == digest:
        path.unlink()
