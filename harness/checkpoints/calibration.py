"""Calibration dialogues of a user's file, read as scenarios read theirs; the worker gets them in one form."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.errors import ConfigError
from harness.load.traffic.corpora import ROLES

NAME = "calibration.jsonl"
FORMS = '{"messages": [{"role", "content"}, ...]} or {"conversations": [{"from", "value"}, ...]}'

Messages = list[dict[str, str]]


def problems(file: str) -> list[str]:
    """Why a file cannot be calibrated on, with the number of the line; empty where it can."""
    try:
        dialogues(file)
    except ConfigError as error:
        return [f"calibration.file: {error}"]
    return []


def dialogues(file: str) -> list[Messages]:
    """Raises ConfigError for a file that cannot be read, a row of another form, and where no dialogue is left."""
    try:
        text = Path(file).read_bytes().decode("utf-8-sig")
        found = [_dialogue(number, row) for number, row in _rows(text)]
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror or error}; set it to JSON lines of {FORMS}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: not UTF-8 text ({error}); save it as UTF-8") from None
    except ValueError as error:
        raise ConfigError(f"{file}:{error}") from None
    if not any(found):
        raise ConfigError(f"{file}: no dialogue that starts with a user's message; its rows must be {FORMS}")
    return [dialogue for dialogue in found if dialogue]


def with_dialogues(spec: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The worker's spec with its calibration file rewritten in `folder`: a `messages` row a line, plain ASCII."""
    calibration = spec.get("calibration") or {}
    if not calibration.get("file"):
        return spec
    rows = (json.dumps({"messages": dialogue}) + "\n" for dialogue in dialogues(calibration["file"]))
    written = folder / NAME
    written.write_text("".join(rows))
    return {**spec, "calibration": {**calibration, "file": str(written)}}


def _rows(text: str) -> Iterator[tuple[int, Any]]:
    """Numbered rows of a JSON list, or of JSON lines: a line ends at a line feed, not at U+2028 inside a string."""
    if text.lstrip().startswith("["):
        try:
            yield from enumerate(json.loads(text), 1)
        except ValueError as error:
            raise ValueError(f" no JSON list ({error}); expected a list of {FORMS}") from None
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except ValueError as error:
                raise ValueError(f"{number}: no JSON ({error}); expected {FORMS} in each line") from None


def _dialogue(number: int, row: Any) -> Messages:
    """User and assistant in turn, from a user's message on; empty if there is none at the start.

    System messages go, and what does not alternate ends the dialogue: templates refuse them.
    """
    try:
        messages = row["messages"] if "messages" in row else row["conversations"]
        said = [(m["role"], m["content"]) if "role" in m else (m["from"], m["value"]) for m in messages]
    except (KeyError, TypeError):
        raise ValueError(f"{number}: expected {FORMS}") from None
    turns: Messages = []
    for role, content in said:
        if role == "system":
            continue
        if ROLES.get(str(role)) != ("assistant" if len(turns) % 2 else "user") or not isinstance(content, str):
            break
        turns.append({"role": ROLES[role], "content": content})
    return turns if len(turns) < 2 else turns[: len(turns) // 2 * 2]
