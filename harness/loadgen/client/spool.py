"""What does not fit in memory lies on disk while a cell runs: the requests to send, and the bytes that came back.

The two sides are processes of one run on one machine, so the format is whatever is quickest. Nothing of it is kept.
"""

import mmap
import pickle
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path

from harness.loadgen.client.http import BadHttp, Head, body_reads, parse_head
from harness.loadgen.client.requests import PATH
from harness.loadgen.client.trace import Asked, Failure, Request, Trace
from harness.protocol.replies import shown, words
from harness.protocol.urls import REDIRECTS, redirect_words

WRITE_BUFFER = 256 << 10


@dataclass(frozen=True, slots=True)
class Planned:
    """A request whose body lies in the file of bodies."""

    index: int
    intended_s: float
    start: int
    length: int
    max_bytes: int
    turn: int


@dataclass(frozen=True)
class Shard:
    """A worker's part of the cell: whole conversations, in the order of their intended times."""

    conversations: list[list[Planned]]
    concurrency: int | None  # closed loop: conversations in flight


@dataclass(slots=True)
class Raw:
    """One response as the client kept it. Times are seconds since the cell's start."""

    index: int
    intended_s: float
    sent_s: float | None
    connect_s: float
    end_s: float | None
    error: Failure | None
    stamped: bool = True  # every read had a kernel's stamp
    rejected: int = 0  # stamps that cannot be (connections.py)
    beyond: int = 0  # bytes at the end of `data` that came after the response's end
    data: bytes = b""
    lengths: Sequence[int] = ()  # bytes of each read
    times: Sequence[float] = ()  # of each read


class RequestFile:
    """Writes the bodies one after another and hands out where they lie."""

    def __init__(self, folder: Path):
        self.path = folder / "bodies"
        self.asked: list[Asked] = []

    def write(self, requests: Iterable[Request]) -> list[Planned]:
        planned, start = [], 0
        with self.path.open("wb") as file:
            for request in requests:
                file.write(request.body)
                length = len(request.body)
                planned.append(
                    Planned(request.index, request.intended_s, start, length, request.max_bytes, request.asked.turn)
                )
                self.asked.append(request.asked)
                start += length
        return planned


def open_bodies(folder: Path) -> mmap.mmap:
    with (folder / "bodies").open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


class TraceWriter:
    """One worker's responses, in the order in which they ended, and where each of them lies."""

    def __init__(self, path: Path):
        self._path = path
        self._file = path.open("wb", buffering=WRITE_BUFFER)
        self._offsets: dict[int, int] = {}  # by the request's index

    def write(self, raw: Raw) -> None:
        self._offsets[raw.index] = self._file.tell()
        fields = [getattr(raw, name) for name in Raw.__slots__]
        pickle.dump(fields, self._file, protocol=pickle.HIGHEST_PROTOCOL)

    def close(self) -> None:
        self._file.close()
        _offsets(self._path).write_bytes(pickle.dumps(self._offsets))


def _offsets(traces: Path) -> Path:
    return traces.with_suffix(".offsets")


class Traces:
    """The traces of a run in the order of their requests, read again from disk at every iteration.

    A request that no worker reports was never sent.
    """

    def __init__(self, planned: list[Planned], paths: list[Path]):
        self._planned = planned
        self._paths = paths

    def __iter__(self) -> Iterator[Trace]:
        files = [path.open("rb") for path in self._paths]
        try:
            where = {
                index: (file, offset)
                for path, file in zip(self._paths, files, strict=True)
                for index, offset in pickle.loads(_offsets(path).read_bytes()).items()
            }
            for planned in self._planned:
                if planned.index not in where:
                    yield Trace(planned.index, planned.intended_s)
                    continue
                file, offset = where[planned.index]
                file.seek(offset)
                yield trace(Raw(*pickle.load(file)))
        finally:
            for file in files:
                file.close()


def trace(raw: Raw) -> Trace:
    """The response's status and body out of its bytes. A response that cannot be read is a failure of its request."""
    found = Trace(raw.index, raw.intended_s, raw.sent_s, raw.connect_s, [], raw.end_s, None, raw.error, raw.stamped)
    found.rejected_stamps = raw.rejected
    if not raw.data:
        return found
    data, times = raw.data, raw.times
    if raw.beyond:
        data, found.beyond = data[: -raw.beyond], data[-raw.beyond :]
    if raw.rejected or not raw.stamped:  # times of both kinds: one of ours may be later than a stamp after it
        times = list(accumulate(times, max))
    try:
        head = parse_head(data)
        found.chunks = body_reads(data, head, raw.lengths, times)
    except Exception as error:  # the boundary: whatever came, it costs this request and no other
        message = str(error) if isinstance(error, BadHttp) else f"{error!r}: {shown(data)}"
        return replace(found, error=raw.error or Failure("bad_http", message))
    found.status = head.status
    if head.status != 200 and raw.error is None:
        found.error = Failure(f"http_{head.status}", _refusal(head, b"".join(data for _, data in found.chunks)))
    return found


def _refusal(head: Head, body: bytes) -> str:
    if head.status in REDIRECTS:
        return redirect_words(head.headers.get("location"), PATH)
    wait = head.headers.get("retry-after")
    return words(body, 300) + (f" (Retry-After: {words(wait, 40)})" if wait else "")
