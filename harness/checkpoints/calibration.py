"""Calibration dialogues of a user's file, read as scenarios read theirs; the worker gets them in one form."""

import json
from pathlib import Path
from typing import Any

from harness.errors import ConfigError, HarnessError
from harness.load.traffic.corpora import load_corpus

FORMS = "JSON lines with `messages` or `conversations` (.jsonl), or a JSON list of such rows (.json)"
NAME = "calibration.jsonl"


def problems(file: str) -> list[str]:
    """Why a file cannot be calibrated on, with the number of the line; empty where it can."""
    if not Path(file).is_file():
        return [f"calibration: no file {file}; set calibration.file to {FORMS}, as scenarios/corpus/chat.jsonl"]
    try:
        dialogues(file)
    except HarnessError as error:
        return [f"calibration.file: {error}"]
    return []


def dialogues(file: str) -> list[list[dict[str, Any]]]:
    """Raises ConfigError for a row of another form, and for a file without a dialogue."""
    path = Path(file).resolve()
    if path.suffix not in (".json", ".jsonl"):
        raise ConfigError(f"{file}: its name tells its form; save it as {FORMS}")
    try:
        return list(load_corpus(str(path)).dialogues)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({error.strerror or error})") from None


def with_dialogues(spec: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The worker's spec with its calibration file rewritten in `folder`: a `messages` row a line, plain ASCII."""
    calibration = spec.get("calibration") or {}
    if not calibration.get("file"):
        return spec
    rows = (json.dumps({"messages": dialogue}) + "\n" for dialogue in dialogues(calibration["file"]))
    written = folder / NAME
    written.write_text("".join(rows))
    return {**spec, "calibration": {**calibration, "file": str(written)}}
