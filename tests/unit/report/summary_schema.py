"""The published schema of summary.json."""

import json
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from harness.report import files

SCHEMA = json.loads((Path(files.__path__[0]) / "summary.schema.json").read_text())


def violations(summary: Any) -> list[str]:
    """Return where and how `summary` departs from the schema."""
    Draft202012Validator.check_schema(SCHEMA)
    return [f"{error.json_path}: {error.message}" for error in Draft202012Validator(SCHEMA).iter_errors(summary)]
