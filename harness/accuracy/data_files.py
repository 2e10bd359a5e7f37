"""Data files of a mirror, read as people save them: with or without a byte-order mark, with any line endings.

What cannot be read is a DataError that names file and line, for preflight and for a cell alike.
"""

import csv
import gzip
import json
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from harness.errors import CellError
from harness.untrusted import strict_json
from harness.untrusted.jsonlines import TextError, open_file, text_lines

Row = dict[str, Any]  # an object of a data file, as it came
Check = Callable[[Row], str | None]  # what is wrong with a row; None: nothing


class DataError(CellError):
    def __init__(self, path: Path, what: str, line: int | None = None):
        super().__init__(f"data: {path}{f', line {line}' if line else ''}: {what}")


def read_text(path: Path) -> str:
    return "".join(_lines(path))


def read_json(path: Path) -> Any:
    text = read_text(path)
    try:
        return strict_json.parse(text)
    except ValueError as error:
        raise DataError(path, f"not JSON ({error})", getattr(error, "line", None)) from None


def read_json_lines(path: Path, columns: Iterable[str] = (), wrong: Check | None = None) -> list[Row]:
    """A JSON object a line, blank lines apart; each has `columns`, and `wrong` says what else is wrong with one."""
    rows, columns = [], list(columns)
    for number, line in enumerate(_lines(path), 1):
        if not line.strip():
            continue
        try:
            row = strict_json.parse(line, number)
        except ValueError as error:
            raise DataError(path, f"not a JSON object ({error})", number) from None
        rows.append(_checked(path, number, row, columns, wrong))
    return _some(path, rows)


def read_csv(path: Path, columns: Iterable[str], wrong: Check | None = None) -> list[Row]:
    """Rows by the names in the first line, which must have `columns`; values are texts."""
    rows, columns = [], list(columns)
    reader = csv.reader(_lines(path, newline=""), strict=True)
    try:
        heads = [name.strip() for name in next(reader, [])]
        if lacking := [name for name in columns if name not in heads]:
            raise DataError(path, f"no column {', '.join(lacking)}; the first line must name {','.join(columns)}", 1)
        for fields in reader:
            if not fields:
                continue
            if len(fields) != len(heads):
                what = f"{len(fields)} fields, and the first line names {len(heads)}; quote a field with commas"
                raise DataError(path, what, reader.line_num)
            row = dict(zip(heads, fields, strict=True))
            rows.append(_checked(path, reader.line_num, row, columns, wrong))
    except csv.Error as error:
        raise DataError(path, f"not CSV ({error})", reader.line_num) from None
    return _some(path, rows)


def write_json_lines(path: Path, rows: Iterable[Row]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def _checked(path: Path, number: int, row: Any, columns: list[str], wrong: Check | None) -> Row:
    if not isinstance(row, dict):
        raise DataError(path, f"a JSON {type(row).__name__}, not an object", number)
    if lacking := [name for name in columns if name not in row]:
        raise DataError(path, f"no {', '.join(lacking)}; a row has {', '.join(columns)}", number)
    try:
        what = wrong(row) if wrong else None
    except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:  # a value of another shape
        what = f"a value is not as expected ({type(error).__name__}: {error})"
    if what:
        raise DataError(path, what, number)
    return row


def _some(path: Path, rows: list[Row]) -> list[Row]:
    if not rows:
        raise DataError(path, "no rows")
    return rows


def _lines(path: Path, newline: str | None = None) -> Iterator[str]:
    try:
        with open_file(path) as file:
            yield from text_lines(gzip.GzipFile(fileobj=file) if path.suffix == ".gz" else file, newline)
    except TextError as error:
        raise DataError(path, str(error)) from None
    except (OSError, EOFError, zlib.error) as error:  # gzip raises EOFError if the file is cut, zlib.error if corrupted
        raise DataError(path, f"cannot be read ({error})") from None
