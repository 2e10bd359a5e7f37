"""What a sweep's manifest (sweep.json) must be: the form that reports rely on."""

from harness.records.cell import Cell
from harness.records.fields import Json
from harness.records.manifest import Manifest, Scenario, Variant
from harness.records.shapes import NUMBER, Maybe, mismatch
from harness.records.stored_shape import shape_of

OBJECT, TEXT = Maybe(dict), Maybe(str)
VARIANT = {
    **shape_of(Variant),
    **{"name": TEXT, "label": TEXT, "deployment": OBJECT},
    "scheme": Maybe({"weights": TEXT, "activations": TEXT, "sparsity": TEXT}),
}
LIMITS = {str: Maybe(NUMBER)}
SCENARIO = {**shape_of(Scenario), "name": TEXT, "slo": Maybe(LIMITS), "tiers": Maybe({str: LIMITS})}
METRIC = {"variant": TEXT, "metric": TEXT, "value": NUMBER, "tolerance": NUMBER, "source": TEXT}
MANIFEST = {
    **shape_of(Manifest),
    "variants": {str: VARIANT},
    "suites": [str],
    "scenarios": {str: SCENARIO},
    "report": Maybe(
        {
            "price": Maybe({"per_gpu_hour": Maybe(NUMBER), "currency": TEXT, "date": TEXT, "source": TEXT}),
            "attribution": Maybe([{"variant": str, "adds": TEXT}]),
            "cutoffs_ms": Maybe({str: [NUMBER]}),
        }
    ),
    "checks": Maybe({"metrics": Maybe([METRIC]), "schemes": Maybe({str: str})}),
    "config": Maybe({"seed": Maybe(int), "engine": OBJECT, "mlflow": OBJECT}),
    "cells": [{**shape_of(Cell), "kind": str, "variant": str}],
    "host": Maybe({"gpus": Maybe([(str, dict)])}),
}


def manifest_fault(manifest: Json) -> str | None:
    """Return what a manifest cannot be: ``suites is missing``. None if it can."""
    if wrong := mismatch(manifest, MANIFEST):
        return wrong
    if manifest["baseline"] not in manifest["variants"]:
        return f"the baseline {manifest['baseline']!a} is none of its variants"
    for cell in manifest["cells"]:
        if wrong := _cell_fault(cell, manifest):
            return f"the cell {cell['key']!a} {wrong}"
    return None


def _cell_fault(cell: Json, manifest: Json) -> str | None:
    if cell["variant"] not in manifest["variants"]:
        return "is of none of its variants"
    if cell["kind"] in ("accuracy", "judge") and cell.get("suite") not in manifest["suites"]:
        return "is of none of its suites"
    if cell["kind"] == "load" and (cell.get("scenario") not in manifest["scenarios"] or cell.get("point") is None):
        return "is of none of its scenarios, or has no load point"
    return None
