"""What a sweep's manifest (sweep.json) must be: the form that reports rely on."""

from typing import Any

from harness.records.record_check import CELL
from harness.records.shapes import NUMBER, Maybe, mismatch

OBJECT, TEXT = Maybe(dict), Maybe(str)
VARIANT = {
    **{"label": TEXT, "checkpoint": TEXT, "checkpoint_bytes": Maybe(NUMBER), "gpus": Maybe(int)},
    "scheme": Maybe({"weights": TEXT, "activations": TEXT, "sparsity": TEXT}),
    **{"deployment_of": TEXT, "deployment": OBJECT, "load_checkpoint": TEXT, "accuracy_of": TEXT, "emulated": TEXT},
}
METRIC = {"variant": TEXT, "metric": TEXT, "value": NUMBER, "tolerance": NUMBER, "source": TEXT}
MANIFEST = {
    "name": str,
    "description": TEXT,
    "baseline": str,
    "variants": {str: VARIANT},
    "suites": [str],
    "scenarios": {
        str: {
            **{"prompt_tokens": int, "output_tokens": int, "slo": Maybe({str: Maybe(NUMBER)})},
            "tiers": Maybe({str: {str: Maybe(NUMBER)}}),
        }
    },
    "margin": Maybe(NUMBER),
    "published": Maybe([{"value": NUMBER, "variant": str, "suite": TEXT, "metric": TEXT, "source": str}]),
    "report": Maybe(
        {
            "price": Maybe({"per_gpu_hour": Maybe(NUMBER), "currency": TEXT, "date": TEXT, "source": TEXT}),
            "attribution": Maybe([{"variant": str, "adds": TEXT}]),
            "cutoffs_ms": Maybe({str: [NUMBER]}),
        }
    ),
    "checks": Maybe({"metrics": Maybe([METRIC]), "schemes": Maybe({str: str})}),
    "left_out": Maybe([{"part": str, "variant": str, "label": str, "reason": str}]),
    "command": TEXT,
    "config": Maybe({"seed": Maybe(int), "engine": OBJECT, "mlflow": OBJECT}),
    "cells": [{**CELL, "kind": str, "variant": str}],
    "host": OBJECT,
    "harness": TEXT,
    "data": TEXT,
}


def manifest_fault(manifest: dict[str, Any]) -> str | None:
    """Return what a manifest cannot be: ``suites is missing``. None if it can."""
    if wrong := mismatch(manifest, MANIFEST):
        return wrong
    if manifest["baseline"] not in manifest["variants"]:
        return f"the baseline {manifest['baseline']!a} is none of its variants"
    for cell in manifest["cells"]:
        if wrong := _cell_fault(cell, manifest):
            return f"the cell {cell['key']!a} {wrong}"
    return None


def _cell_fault(cell: dict[str, Any], manifest: dict[str, Any]) -> str | None:
    if cell["variant"] not in manifest["variants"]:
        return "is of none of its variants"
    if cell["kind"] in ("accuracy", "judge") and cell.get("suite") not in manifest["suites"]:
        return "is of none of its suites"
    if cell["kind"] == "load" and (cell.get("scenario") not in manifest["scenarios"] or cell.get("point") is None):
        return "is of none of its scenarios, or has no load point"
    return None
