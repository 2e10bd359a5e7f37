"""Names that become files and folders: of sweeps, variants, suites and scenarios, and of the folders of stores.

What a user types is checked (`check_name`); what a store says is only ever a part of a file's name (`file_name`).
"""

import hashlib
import os
import re
from pathlib import Path

from harness.errors import ConfigError

LONGEST_BYTES = 200  # file systems take 255; temporary files and suffixes need some
LONGEST_PART_BYTES = 80
RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in "0123456789¹²³")}  # Windows
RULE = "use letters, digits, '_', '-' and '.'"


def name_problem(name: str) -> str | None:
    """Return why a name cannot be that of a file or a folder here and on other systems; None where it can."""
    if not re.fullmatch(r"[\w.-]+", name):
        return RULE
    if name.startswith((".", "-")) or name.endswith("."):
        return f"it must not begin with '.' or '-' or end with '.'; {RULE}"
    if (size := len(name.encode("utf-8", "surrogatepass"))) > LONGEST_BYTES:
        return f"{size} bytes; use at most {LONGEST_BYTES}"
    if is_reserved(name):
        return "Windows reserves it for a device; choose another"
    return None


def check_name(what: str, name: str, is_for: str) -> None:
    """Raise ConfigError for a name that cannot be that of a file or a folder."""
    if problem := name_problem(name):
        shown = name if len(name) <= 60 else f"{name[:60]}..."
        raise ConfigError(f"{what}={shown!r} names {is_for}: {problem}")


def is_reserved(name: str) -> bool:
    return name.partition(".")[0].casefold() in RESERVED


def file_name(text: str) -> str:
    """Return a text from outside as a part of a file's name: no separator, no leading dot or dash, not too long."""
    plain = re.sub(r"[^\w.-]+", "_", text)[:80].strip("._-")
    plain = shortened(plain or "unnamed", LONGEST_PART_BYTES)
    return f"_{plain}" if is_reserved(plain) else plain


def shortened(name: str, most_bytes: int) -> str:
    """Return `name`, or its beginning and a hash of the whole where it is too long for a file's name."""
    data = name.encode("utf-8", "replace")
    if len(data) <= most_bytes:
        return name
    digest = hashlib.sha256(data).hexdigest()[:12]
    return f"{data[: most_bytes - len(digest) - 2].decode('utf-8', 'ignore')}--{digest}"


def folder_for(parent: Path, name: str, instead: str) -> Path:
    """Return `parent`/`name`, where files may be written. Raises ConfigError for a name that leads elsewhere.

    `instead`: what to do about a symbolic link, given where it leads.
    """
    folder = parent / name
    if folder.is_symlink() and folder.resolve().parent != parent.resolve():
        raise ConfigError(f"{folder} is a symbolic link that leads out of {parent}; {instead.format(folder.resolve())}")
    return folder


def link_out(root: Path, folders: tuple[str, ...]) -> Path | None:
    """Return the first symbolic link in `root` or in one of its `folders`: what is written there would land elsewhere.

    A store of somebody else may hold one.
    """
    for folder in (root, *(root / name for name in folders)):
        if folder.is_dir():
            with os.scandir(folder) as entries:
                if link := next((entry.path for entry in entries if entry.is_symlink()), None):
                    return Path(link)
    return None
