"""Calibration dialogues of a user's file; the worker gets them in one form, and reads a dataset's by the same rule."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.checkpoints.recipe_fields import WorkerSpec
from harness.dialogues import FORMS, Messages, dialogue, messages_of
from harness.errors import ConfigError
from harness.untrusted import strict_json
from harness.untrusted.jsonlines import TextError, json_lines, read_text

NAME = "calibration.jsonl"


def problems(file: str, samples: int = 1) -> list[str]:
    """Why a file cannot be calibrated on, with the number of the line; empty where it can.

    A file of fewer dialogues than `samples` is used whole, unless that is because rows of it cannot be used.
    """
    try:
        found = _read(file)
    except ConfigError as error:
        return [f"calibration.file: {error}"]
    left, dropped = sum(map(bool, found.values())), [number for number, said in found.items() if not said]
    if dropped and left < samples:
        return [
            f"calibration.file: {file}: {left} of {len(found)} dialogues are left, calibration.samples={samples}: "
            f"row {dropped[0]} does not start with a user's text (after a system message); correct such rows, or set "
            f"calibration.samples={left}"
        ]
    return []


def dialogues(file: str) -> list[Messages]:
    """Raises ConfigError for a file that cannot be read, a row of another form, and where no dialogue is left."""
    return [said for said in _read(file).values() if said]


def _read(file: str) -> dict[int, Messages]:
    """Return the dialogue of each row, by its number; empty where it has none."""
    try:
        found = {number: _dialogue(number, row) for number, row in _rows(Path(file))}
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror or error}; set it to JSON lines of {FORMS}") from None
    except TextError as error:
        raise ConfigError(f"{file}: {error}") from None
    except ValueError as error:
        raise ConfigError(f"{file}:{error}") from None
    if not any(found.values()):
        raise ConfigError(f"{file}: no dialogue that starts with a user's message; its rows must be {FORMS}")
    return found


def with_dialogues(spec: WorkerSpec, folder: Path) -> WorkerSpec:
    """The worker's spec with its calibration file rewritten in `folder`: a `messages` row a line, plain ASCII."""
    calibration = spec.get("calibration")
    if not calibration or not calibration.get("file"):
        return spec
    rows = (json.dumps({"messages": dialogue}) + "\n" for dialogue in dialogues(calibration["file"]))
    written = folder / NAME
    written.write_text("".join(rows))
    return {**spec, "calibration": {**calibration, "file": str(written)}}


def _rows(path: Path) -> Iterator[tuple[int, Any]]:
    """Yield numbered rows of a JSON list, or of JSON lines."""
    if (text := read_text(path)).lstrip().startswith("["):
        try:
            yield from enumerate(strict_json.parse(text), 1)
        except ValueError as error:
            raise ValueError(f" no JSON list ({error}); expected a list of {FORMS}") from None
        return
    for number, line in json_lines(path):
        try:
            yield number, strict_json.parse(line, number)
        except ValueError as error:
            raise ValueError(f"{number}: no JSON ({error}); expected {FORMS} in each line") from None


def _dialogue(number: int, row: Any) -> Messages:
    try:
        return dialogue(messages_of(row), whole=True)
    except (KeyError, TypeError, AttributeError):
        raise ValueError(f"{number}: expected {FORMS}") from None
