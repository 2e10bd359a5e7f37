"""Recorded arrivals to replay: when requests came, how long they were, and which of their tokens they shared.

    .csv    Azure's LLM inference traces: TIMESTAMP,ContextTokens,GeneratedTokens
            (github.com/Azure/AzurePublicDataset, 2023 and 2024; TIMESTAMP is a date and time, or a number of seconds)
    .jsonl  Mooncake's traces: {"timestamp": ms, "input_length": n, "output_length": m, "hash_ids": [...]}
            (github.com/kvcache-ai/Mooncake; FAST 2025). Each id is a block of 512 prompt tokens, the last
            block may be shorter; requests whose lists begin alike share those tokens.

Other tools write seconds under Mooncake's names; trace_units.py says which unit a file is read in. A length of 0 is
replayed as 1: no server answers with nothing. The planner imports this file: nothing heavy.
"""

import csv
import hashlib
import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from itertools import chain, islice, pairwise
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

from harness.config.workloads import LoadPoints
from harness.errors import ConfigError
from harness.loadgen.traffic.trace_units import AUTO, units_per_second
from harness.records.point import LoadPoint
from harness.untrusted import strict_json
from harness.untrusted.jsonlines import TextError, open_file, text_lines

BLOCK_TOKENS = 512
LATEST = 1e20  # nanoseconds since the epoch are below
LONGEST_TOKENS = 1 << 30
AZURE = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
MOONCAKE = ("timestamp", "input_length", "output_length")
LOOK_AHEAD = 10_000  # rows read beyond those that are asked for: rows that are out of order are mostly near their place


@dataclass(frozen=True, slots=True)
class Arrival:
    at_s: float  # since the first
    prompt_tokens: int
    output_tokens: int
    hash_ids: tuple[int, ...] | None = None  # of each block of the prompt; None: nothing is said to be shared


class _Row(NamedTuple):
    time: float  # as it is written: a number in the file's unit, or the seconds of a date since the epoch
    is_date: bool
    prompt_tokens: int
    output_tokens: int
    hash_ids: tuple[int, ...] | None = None


@lru_cache(maxsize=2)
def read_trace(path: str, count: int | None = None, unit: str = AUTO) -> list[Arrival]:
    """The first `count` arrivals in the order of time, all of them for None. Raises ConfigError with the line that
    cannot be read.

    Where the rows are in order, no more of the file is read than that takes, and LOOK_AHEAD rows.
    """
    file = _existing(path)
    readers = {".csv": (_azure, "s"), ".jsonl": (_mooncake, "ms")}
    if file.suffix not in readers:
        raise ConfigError(f"load.trace {path}: an Azure-style .csv or a Mooncake-style .jsonl, not {file.suffix!r}")
    reader, usual_unit = readers[file.suffix]
    try:
        return _arrivals(file, path, count, unit, reader, usual_unit)
    except (OSError, TextError) as error:
        raise ConfigError(f"load.trace {path}: {error}") from None


def _arrivals(
    file: Path, path: str, count: int | None, unit: str, reader: Callable[..., Iterator[_Row]], usual_unit: str
) -> list[Arrival]:
    with open_file(file) as opened:
        rows = reader(text_lines(opened, newline="" if reader is _azure else "\n"), path)
        head = list(rows if count is None else islice(rows, count + LOOK_AHEAD))
        if not head:
            raise ConfigError(f"load.trace {path}: no requests in it")
        if any(later.time < earlier.time for earlier, later in pairwise(head)):  # nothing is known of the others
            order = itemgetter(0)
            head = (
                sorted(head, key=order) if count is None else heapq.nsmallest(len(head), chain(head, rows), key=order)
            )
    arrivals = head[:count]
    if len({row.hash_ids is None for row in arrivals}) > 1:
        raise ConfigError(f"load.trace {path}: hash_ids in some requests and not in others; what is shared is unknown")
    numbers = [row.time for row in head if not row.is_date]
    per_second = units_per_second(numbers, usual_unit, unit, path) if numbers else 1.0
    first_s = arrivals[0].time / per_second
    return [
        Arrival(row.time / per_second - first_s, row.prompt_tokens, row.output_tokens, row.hash_ids) for row in arrivals
    ]


def replayed(point: LoadPoint, load: LoadPoints) -> list[Arrival]:
    """The arrivals of a point of the profile `trace`."""
    assert load.trace is not None
    return read_trace(load.trace, load.max_requests, load.trace_unit)[: point.requests]


def digest(path: str) -> str:
    """sha256 of the file, for the fingerprint of the cells that replay it."""
    file = _existing(path)
    return _digest(file, file.stat().st_mtime_ns)


@lru_cache(maxsize=2)
def _digest(file: Path, mtime_ns: int) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


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


def _azure(lines: Iterable[str], path: str) -> Iterator[_Row]:
    rows = csv.reader(lines)
    header = [name.strip() for name in next(_csv_rows(rows, path), [])]
    known = {name.lower(): column for column, name in enumerate(header)}
    if any(name.lower() not in known for name in AZURE):
        raise ConfigError(f"load.trace {path}: expected the columns {', '.join(AZURE)}; found {', '.join(header)}")
    columns = [known[name.lower()] for name in AZURE]
    for row in _csv_rows(rows, path):
        if not row:
            continue
        try:
            moment, prompt, output = (row[column] for column in columns)
            yield _Row(*_time(moment), _length(prompt), _length(output))
        except (ValueError, IndexError, OverflowError) as error:
            raise ConfigError(f"load.trace {path}:{rows.line_num}: {error}; expected {', '.join(AZURE)}") from None


def _csv_rows(rows: Any, path: str) -> Iterator[list[str]]:
    try:
        yield from rows
    except csv.Error as error:
        raise ConfigError(f"load.trace {path}:{rows.line_num}: not CSV ({error})") from None


def _mooncake(lines: Iterable[str], path: str) -> Iterator[_Row]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = strict_json.parse_object(line, number)
            missing = [name for name in MOONCAKE if name not in row]
            if missing:
                raise ValueError(f"no {', '.join(missing)} among {', '.join(row)}")
            prompt, output = _length(row["input_length"]), _length(row["output_length"])
            yield _Row(_number(row["timestamp"]), False, prompt, output, _blocks(row.get("hash_ids"), prompt))
        except (ValueError, TypeError) as error:
            raise ConfigError(f"load.trace {path}:{number}: {error}; expected {', '.join(MOONCAKE)}") from None


def _blocks(ids: Any, prompt_tokens: int) -> tuple[int, ...] | None:
    if ids is None:
        return None
    needed = -(-prompt_tokens // BLOCK_TOKENS)
    if len(ids) != needed:
        raise ValueError(f"{len(ids)} hash_ids; {prompt_tokens} tokens are {needed} blocks of {BLOCK_TOKENS}")
    return tuple(int(one) for one in ids)


def _time(moment: str) -> tuple[float, bool]:
    """A time as it is written, and whether it is a date."""
    try:
        return _number(moment), False
    except ValueError:
        return _since_epoch(datetime.fromisoformat(moment.strip())), True  # digits after the microsecond are dropped


def _since_epoch(moment: datetime) -> float:
    """Microseconds stay exact; a time without a zone is taken as it is, since only differences count."""
    return (moment - datetime(1970, 1, 1, tzinfo=moment.tzinfo)).total_seconds()


def _number(value: Any) -> float:
    number = float(value)
    if not abs(number) < LATEST:
        raise ValueError(f"{str(value)[:40]} is not a time")
    return number


def _length(value: Any) -> int:
    length = int(value)
    if not 0 <= length <= LONGEST_TOKENS:
        raise ValueError(f"a length of {str(value)[:40]} tokens")
    return max(1, length)
