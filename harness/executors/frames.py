"""Python objects over a pipe between two processes of the harness: eight bytes of length, then a pickle."""

import pickle
import struct
from collections.abc import Iterator
from typing import IO, Any

LENGTH = struct.Struct(">Q")


def write(stream: IO[bytes], value: Any) -> None:
    """Write and flush one object. Raises OSError where the reader has gone."""
    data = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
    stream.write(LENGTH.pack(len(data)) + data)
    stream.flush()


def read(stream: IO[bytes]) -> Any:
    """Read one object. Raises EOFError where the writer ended before it."""
    (length,) = LENGTH.unpack(_exactly(stream, LENGTH.size))
    return pickle.loads(_exactly(stream, length))


def _exactly(stream: IO[bytes], count: int) -> bytes:
    data = stream.read(count)
    if len(data) < count:
        raise EOFError
    return data


class Frames:
    """Puts objects together from bytes as they arrive."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> Iterator[Any]:
        """Yield the objects that are complete."""
        self._data += data
        while len(self._data) >= LENGTH.size:
            (length,) = LENGTH.unpack_from(self._data)
            end = LENGTH.size + length
            if len(self._data) < end:
                return
            value = pickle.loads(memoryview(self._data)[LENGTH.size : end])
            del self._data[:end]
            yield value
