"""JSON files of a results folder: each holds its schema and the BLAKE3 digest of its bytes.

The digest is the value of the last key, `blake3`, and covers every byte before that key. Files of schema 1 (written
before digests existed) have none.
"""

import errno
import hashlib
import json
from pathlib import Path
from typing import Any

from blake3 import blake3

from harness.errors import ConfigError, HarnessError
from harness.records import SCHEMA
from harness.records.shapes import said

DIGEST = "blake3"
_MARK = f',\n "{DIGEST}": "'
_NOT_OURS = (errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM)  # the file may be whole


class Damaged(HarnessError):
    """A stored file is not as it was written. The message names the file, without its folder, and what is wrong."""


class NewerSchema(ConfigError):
    """A stored file has a schema that this version does not know."""


def with_digest(value: dict[str, Any]) -> str:
    """Return `value` as JSON of the current schema that ends with its digest."""
    rest = {name: item for name, item in value.items() if name not in ("schema", DIGEST)}
    head = json.dumps({"schema": SCHEMA, **rest}, indent=1)[: -len("\n}")]
    return f'{head}{_MARK}{blake3(head.encode()).hexdigest()}"\n}}'


def read_json(path: Path, needs_schema: bool = True) -> tuple[dict[str, Any], bool]:
    """Return the object of a file, without its digest, and whether the digest matches.

    `needs_schema`: files of schema 1 name theirs too. Raises Damaged for what is no JSON object, NewerSchema for a
    schema that this version does not know.
    """
    data = read_bytes(path)
    value = parse_object(data, path.name)
    schema = value.get("schema", None if needs_schema else 1)
    if type(schema) is not int or schema < 1:
        raise Damaged(f"{path.name} has the schema {said(schema)}, which no version writes")
    if schema > SCHEMA:
        raise NewerSchema(
            f"{path} was written by a newer harness: schema {schema}; this one reads up to {SCHEMA}; upgrade"
        )
    if schema < 2 or DIGEST not in value:
        return value, schema < 2 and DIGEST not in value and "files" not in value
    head, _, tail = data.rpartition(_MARK.encode())
    return {k: v for k, v in value.items() if k != DIGEST}, tail == f'{blake3(head).hexdigest()}"\n}}'.encode()


def parse_object(data: bytes | str, name: str) -> dict[str, Any]:
    """Raises Damaged."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        rest = data.strip(b"\0") if isinstance(data, bytes) else data.strip("\0")
        what = f"not valid JSON ({error})" if rest else "empty"
        raise Damaged(f"{name} is {what}") from None
    if not isinstance(value, dict):
        raise Damaged(f"{name} holds {said(value)}, not a JSON object")
    return value


def read_bytes(path: Path) -> bytes:
    """Raises Damaged for what is missing or no file, ConfigError for what this user or process may not read."""
    try:
        if not path.is_file():  # a directory, or a FIFO, which would wait for ever
            raise Damaged(f"{path.name} is {'not a file' if path.exists() else 'missing'}")
        return path.read_bytes()
    except OSError as error:
        if error.errno in _NOT_OURS:
            raise ConfigError(f"cannot read {path}: {error.strerror}") from None
        raise Damaged(f"{path.name} cannot be read ({error.strerror})") from None


def file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, blake3).hexdigest()  # type: ignore[arg-type]  # its stub lacks block_size
