"""Text of a dataset on the hub: `hub:DATASET[@REVISION][:SPLIT[:FIELD]]`, streamed, so that only its start is read.

DATASET is org/name, org/name/CONFIG where a dataset has several, or a directory that the `datasets` library can load.
The planner imports this file: nothing heavy.
"""

import contextlib
import gzip
import hashlib
import json
import re
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from harness.errors import ConfigError
from harness.hub import access
from harness.hub.commits import DATASET, commit_of
from harness.hub.failures import Place
from harness.hub.waiting import bound
from harness.machine.disk import write_atomically

PREFIX = "hub:"
COMMIT = re.compile(r"@([0-9a-f]{40}):")  # in an identity
FIELDS = ("text", "messages", "conversations", "prompt")  # the first that a dataset has
ROWS = 5000  # at most so many are read, ...
CHARS = 8_000_000  # ... and no more once they have so much text


@dataclass(frozen=True)
class HubText:
    dataset: str
    revision: str | None = None
    split: str = "train"
    field: str | None = None
    config: str | None = None


def parse(name: str) -> HubText:
    """What a scenario's `text` asks of the hub. Raises ConfigError when it is not of that form."""
    parts = name.removeprefix(PREFIX).split(":")
    if len(parts) > 3 or not all(parts):
        raise ConfigError(f"scenario text {name!r}: expected hub:DATASET[@REVISION][:SPLIT[:FIELD]]")
    dataset, _, revision = parts[0].partition("@")
    config: str | None = None
    if dataset.count("/") == 2 and not Path(dataset).is_dir():
        dataset, _, config = dataset.rpartition("/")
    return replace(HubText(dataset, revision or None, *parts[1:]), config=config)


def identity(name: str) -> str:
    """Return dataset, commit, split and field.

    Without a commit where none is known: a plan is made without a network too, and preflight refuses to measure it.
    """
    asked = parse(name)
    revision = commit_of(DATASET, asked.dataset, asked.revision) or asked.revision
    dataset = f"{asked.dataset}/{asked.config}" if asked.config else asked.dataset
    return f"{dataset}@{revision or ''}:{asked.split}:{asked.field or ''}"


def read_values(name: str) -> list[Any]:
    """Return the field's value in each of the first rows; of a known commit they are kept, and read again offline.

    Raises ConfigError: unreachable, no such dataset, split or field.
    """
    kept = _kept(name)
    if kept is not None and kept.is_file():
        return json.loads(gzip.decompress(kept.read_bytes()))
    values = _read(name)
    if kept is not None:
        with contextlib.suppress(OSError, TypeError):  # a cache that cannot be written; values that are not JSON
            write_atomically(kept, gzip.compress(json.dumps(values).encode()))
    return values


def _kept(name: str) -> Path | None:
    """Return where the values of a dataset's commit are kept: among the hub's own assets; None where it is unknown."""
    from huggingface_hub import cached_assets_path

    known = identity(name)
    if not COMMIT.search(known):
        return None
    key = hashlib.sha256(f"{known} {ROWS} {CHARS} {FIELDS}".encode()).hexdigest()
    try:
        return cached_assets_path("harness", namespace=parse(name).dataset, subfolder="text") / f"{key}.json.gz"
    except OSError:
        return None


def _read(name: str) -> list[Any]:
    """Stream them. Raises ConfigError."""
    from datasets import load_dataset

    asked = parse(name)
    commit = COMMIT.search(identity(name))
    bound()
    try:
        found = {"split": asked.split, "revision": commit[1] if commit else asked.revision, "streaming": True}
        rows = load_dataset(asked.dataset, asked.config, **found)
        values: list[Any] = []
        chars = 0
        for row in islice(rows, ROWS):
            values.append(row[_field(name, asked, row)])
            chars += len(str(values[-1]))
            if chars > CHARS:
                break
    except ConfigError:
        raise
    except Exception as error:  # datasets and its transports raise whatever they meet
        reason = access.why(error, Place(asked.dataset, "dataset", asked.revision))
        raise ConfigError(f"corpus {name}: {reason}, or name a local file") from error
    return values


def _field(name: str, asked: HubText, row: dict[str, Any]) -> str:
    for field in (asked.field,) if asked.field else FIELDS:
        if field in row:
            return field
    wanted = f"no field {asked.field!r}" if asked.field else f"none of the fields {', '.join(FIELDS)}"
    raise ConfigError(f"corpus {name}: {wanted}; the dataset has {', '.join(row)}; name one: hub:DATASET:SPLIT:FIELD")
