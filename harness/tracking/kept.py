"""Whether a local database still is what logging left there: then the same command again need not import MLflow.

`tracked.json` in the sweep's folder holds a digest of what was logged and the state of the database's file afterwards.
Whatever writes to the database, another sweep or a click in MLflow's UI, changes that state, and the study is logged
again, which adds what is missing. A server is always asked.
"""

import glob
import hashlib
import json
from pathlib import Path

from harness.machine import disk

FILE = "tracked.json"
SQLITE = "sqlite:///"
ARTIFACTS = "mlartifacts"  # the folder beside a SQLite file


def kept_link(results: Path, report_dir: Path, tracking_uri: str, experiment: str) -> str | None:
    """Return what `track` returned, where it would find all of it in the database; else None."""
    database = _database(tracking_uri)
    try:
        known = json.loads((results / FILE).read_bytes())
        if database is not None and known["database"] == _state(database):
            return known["link"] if known["logged"] == _digest(results, report_dir, tracking_uri, experiment) else None
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return None


def keep_link(link: str, results: Path, report_dir: Path, tracking_uri: str, experiment: str) -> None:
    """Remember what `track` returned and what it left. Raises OSError."""
    if (database := _database(tracking_uri)) is None:
        return
    logged = _digest(results, report_dir, tracking_uri, experiment)
    known = {"link": link, "logged": logged, "database": _state(database)}
    disk.write_atomically(results / FILE, json.dumps(known, indent=1) + "\n")


def _database(tracking_uri: str) -> Path | None:
    path = tracking_uri.removeprefix(SQLITE)
    return Path(path).absolute() if path != tracking_uri and "?" not in path else None


def _state(database: Path) -> list[int | str]:
    """Path, inode, size and time of change; its journals and artifacts, where there are any. Raises OSError."""
    facts = database.stat()
    patterns = (f"{glob.escape(database.name)}-*", ARTIFACTS)
    beside = sorted(path.name for pattern in patterns for path in database.parent.glob(pattern))
    return [str(database), facts.st_ino, facts.st_size, facts.st_mtime_ns, *beside]


def _digest(results: Path, report_dir: Path, tracking_uri: str, experiment: str) -> str:
    """A digest of the manifest and of the report, which holds every number that is logged. Raises OSError."""
    found = hashlib.sha256(json.dumps([tracking_uri, experiment]).encode())
    for path in (results / "sweep.json", *sorted(path for path in report_dir.rglob("*") if path.is_file())):
        found.update(f"\n{path}\n{path.stat().st_size}\n".encode())
        found.update(path.read_bytes())
    return found.hexdigest()
