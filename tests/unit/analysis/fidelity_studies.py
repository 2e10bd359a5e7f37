"""A study of one suite from rows alone."""

from typing import Any

from harness.analysis.study import Study, build_study
from harness.records.manifest import Manifest
from harness.records.record import Record


def study_of(rows: dict[str, list[dict]], result: dict[str, Any], flags: dict[str, list[dict]] | None = None) -> Study:
    """`rows` by variant, or by variant/repeat; the baseline is `base`."""
    cells = []
    for key in rows:
        variant, _, repeat = key.partition("/")
        cells.append({"key": key, "kind": "accuracy", "variant": variant, "suite": "s", "repeat": int(repeat or 0)})
    names = list(dict.fromkeys(cell["variant"] for cell in cells))
    manifest = {
        "name": "n",
        "baseline": "base",
        "variants": {name: {"label": name.upper()} for name in names},
        "suites": ["s"],
        "scenarios": {},
        "cells": cells,
    }
    records = [{"cell": cell, "result": result, "flags": (flags or {}).get(cell["key"], [])} for cell in cells]
    return build_study(
        Manifest.from_json(manifest), list(map(Record.from_json, records)), lambda record: rows[record.cell.key], []
    )
