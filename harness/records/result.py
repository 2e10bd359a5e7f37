"""`result` of a record, by the kind of its cell."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.records.accuracy_result import AccuracyResult
from harness.records.fields import Stored, rest
from harness.records.gemm_result import GemmResult
from harness.records.load_result import CapacityResult, LoadResult


@dataclass(frozen=True)
class OtherResult(Stored):
    """The result of a kind of cell that this version does not know."""

    values: Mapping[str, Any] = rest()


Result = AccuracyResult | LoadResult | CapacityResult | GemmResult | OtherResult


def result_of(kind: str, stored: Mapping[str, Any]) -> Result:
    """Read a result that record_check.py finds no fault in."""
    if not stored:
        return OtherResult()
    match kind:
        case "accuracy" | "judge":
            return AccuracyResult.from_json(stored)
        case "load":
            return (CapacityResult if "capacity_status" in stored else LoadResult).from_json(stored)
        case "gemm":
            return GemmResult.from_json(stored)
    return OtherResult.from_json(stored)
