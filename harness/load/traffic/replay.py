"""Recorded arrivals to replay: when requests came, how long they were, and which of their tokens they shared.

    .csv    Azure's LLM inference traces: TIMESTAMP,ContextTokens,GeneratedTokens
            (github.com/Azure/AzurePublicDataset, 2023 and 2024; TIMESTAMP is a date and time, or a number of seconds)
    .jsonl  Mooncake's traces: {"timestamp": ms, "input_length": n, "output_length": m, "hash_ids": [...]}
            (github.com/kvcache-ai/Mooncake; FAST 2025). Each id stands for a block of 512 prompt tokens, the last
            block may be shorter; requests whose lists begin alike share those tokens.

A length of 0 is replayed as 1: no server answers with nothing. The planner imports this file: nothing heavy.
"""

import csv
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from harness.errors import ConfigError

BLOCK_TOKENS = 512
AZURE = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
MOONCAKE = ("timestamp", "input_length", "output_length")


@dataclass(frozen=True, slots=True)
class Arrival:
    at_s: float  # since the first
    prompt_tokens: int
    output_tokens: int
    hash_ids: tuple[int, ...] | None = None  # of each block of the prompt; None: nothing is said to be shared


@lru_cache(maxsize=2)
def read_trace(path: str) -> list[Arrival]:
    """The file's arrivals in the order of time. Raises ConfigError with the line that cannot be read."""
    file = _existing(path)
    readers = {".csv": _azure, ".jsonl": _mooncake}
    if file.suffix not in readers:
        raise ConfigError(f"load.trace {path}: an Azure-style .csv or a Mooncake-style .jsonl, not {file.suffix!r}")
    with file.open(encoding="utf-8-sig", newline="") as lines:
        arrivals = sorted(readers[file.suffix](lines, path), key=lambda arrival: arrival.at_s)
    if not arrivals:
        raise ConfigError(f"load.trace {path}: no requests in it")
    if len({arrival.hash_ids is None for arrival in arrivals}) > 1:
        raise ConfigError(f"load.trace {path}: hash_ids in some requests and not in others; what is shared is unknown")
    return [replace(arrival, at_s=arrival.at_s - arrivals[0].at_s) for arrival in arrivals]


def digest(path: str) -> str:
    """sha256 of the file, for the fingerprint of the cells that replay it."""
    return hashlib.sha256(_existing(path).read_bytes()).hexdigest()


def shared_tokens(arrivals: Iterable[Arrival]) -> tuple[int, int]:
    """(prompt tokens that an earlier request began with too, all prompt tokens), for requests answered in order."""
    seen: set[int] = set()
    shared = total = 0
    for arrival in arrivals:
        total += arrival.prompt_tokens
        chain = 0
        for number, block in enumerate(arrival.hash_ids or ()):
            chain = hash((chain, block))  # of this block and all before it: caches match from the first token on
            if chain in seen:
                shared += min(BLOCK_TOKENS, arrival.prompt_tokens - number * BLOCK_TOKENS)
            seen.add(chain)
    return shared, total


def _existing(path: str) -> Path:
    file = Path(path).expanduser()
    if not file.is_file():
        raise ConfigError(f"load.trace: no file {path}")
    return file


def _azure(lines: Iterable[str], path: str) -> Iterator[Arrival]:
    rows = csv.reader(lines)
    header = [name.strip() for name in next(rows, [])]
    known = {name.lower(): column for column, name in enumerate(header)}
    if any(name.lower() not in known for name in AZURE):
        raise ConfigError(f"load.trace {path}: expected the columns {', '.join(AZURE)}; found {', '.join(header)}")
    columns = [known[name.lower()] for name in AZURE]
    for row in rows:
        if not row:
            continue
        try:
            moment, prompt, output = (row[column] for column in columns)
            yield Arrival(_seconds(moment), _length(prompt), _length(output))
        except (ValueError, IndexError) as error:
            raise ConfigError(f"load.trace {path}:{rows.line_num}: {error}; expected {', '.join(AZURE)}") from None


def _mooncake(lines: Iterable[str], path: str) -> Iterator[Arrival]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            missing = [name for name in MOONCAKE if name not in row]
            if missing:
                raise ValueError(f"no {', '.join(missing)} among {', '.join(row)}")
            prompt, output = _length(row["input_length"]), _length(row["output_length"])
            yield Arrival(_number(row["timestamp"]) / 1e3, prompt, output, _blocks(row.get("hash_ids"), prompt))
        except (ValueError, TypeError) as error:
            raise ConfigError(f"load.trace {path}:{number}: {error}; expected {', '.join(MOONCAKE)}") from None


def _blocks(ids: Any, prompt_tokens: int) -> tuple[int, ...] | None:
    if ids is None:
        return None
    needed = -(-prompt_tokens // BLOCK_TOKENS)
    if len(ids) != needed:
        raise ValueError(f"{len(ids)} hash_ids; {prompt_tokens} tokens are {needed} blocks of {BLOCK_TOKENS}")
    return tuple(int(one) for one in ids)


def _seconds(moment: str) -> float:
    try:
        return _number(moment)
    except ValueError:
        return _since_epoch(datetime.fromisoformat(moment.strip()))  # digits after the microsecond are dropped


def _since_epoch(moment: datetime) -> float:
    """Microseconds stay exact; a time without a zone is taken as it stands, since only differences count."""
    return (moment - datetime(1970, 1, 1, tzinfo=moment.tzinfo)).total_seconds()


def _number(value: Any) -> float:
    number = float(value)
    if not abs(number) < float("inf"):
        raise ValueError(f"{value} is not a time")
    return number


def _length(value: Any) -> int:
    length = int(value)
    if length < 0:
        raise ValueError(f"a length of {length} tokens")
    return max(1, length)
