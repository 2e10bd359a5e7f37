"""What a record and its rows must be: the form that readers rely on, and what no measurement can give.

`record_fault` is cheap and made on every reading. `rows_fault` reads every row and computes again what the record says
of them: for records without digests (schema 1), and for `harness.check`.
"""

import re
from typing import Any

from harness.records.accuracy_result import AccuracyResult, Score
from harness.records.fields import Json
from harness.records.gemm_result import GemmResult, ProductRow
from harness.records.item import Item
from harness.records.judge_details import JudgeDetails
from harness.records.load_result import CapacityResult, LoadResult
from harness.records.metrics import QUANTILES, SLACK, highest
from harness.records.record import Record
from harness.records.request import Request
from harness.records.shapes import NUMBER, Maybe, mismatch
from harness.records.stored_shape import shape_of

OBJECT = Maybe(dict)
TEXT = Maybe(str)
RECORD = {
    **shape_of(Record),
    "fingerprint": str,
    "inputs": Maybe({"scenario": Maybe((dict, str)), "point": OBJECT}),
    "result": OBJECT,
    "engine": Maybe(
        {
            **{"kind": TEXT, "version": TEXT, "command": Maybe((str, [object])), "log": TEXT},
            "kernels": Maybe([{"layer": TEXT, "kernel": TEXT}]),
            "schemes": Maybe(({str: Maybe((NUMBER, str, dict))}, [object])),
            "checkpoint": OBJECT,
        }
    ),
    "host": Maybe({"gpus": Maybe([(str, dict)])}),
}
WITHOUT_DIGEST = ("inputs", "result", "flags", "engine", "host", "started_at", "duration_s", "harness")

SCORES = {**shape_of(AccuracyResult), "primary": str, "scores": {str: shape_of(Score)}}
RESULTS = {
    "accuracy": SCORES,
    "judge": {**SCORES, "details": Maybe(shape_of(JudgeDetails))},
    "load": shape_of(LoadResult) | shape_of(CapacityResult),
    "gemm": shape_of(GemmResult),
}
ITEM = {**shape_of(Item), "id": (str, int), "scores": Maybe({str: Maybe(NUMBER)})}
ROWS = {
    "accuracy": ITEM,
    "judge": ITEM,
    "load": {**shape_of(Request), "index": int},
    "gemm": {**shape_of(ProductRow), "times_s": [NUMBER]},
}

_SHARE_SCORES = re.compile(
    r"acc(_\w+)?|exact_match\w*|pass@\w+|\w*win_rate\w*"
)  # others, like rouge1_max, have no bounds


def record_fault(record: Json) -> str | None:
    """Return what a record cannot be, or None."""
    if wrong := mismatch(record, RECORD):
        return wrong
    if record["schema"] < 2:
        for name in WITHOUT_DIGEST:
            if record.get(name) is None:
                return f"{name} is missing"
    if (record["cell"].get("fingerprint") or record["fingerprint"]) != record["fingerprint"]:
        return "its cell has another fingerprint than the record"
    if record.get("cost") and not record.get("usage"):
        return "cost is given and usage is missing"
    return result_fault(record["cell"].get("kind"), record.get("result") or {})


def result_fault(kind: str | None, result: Json) -> str | None:
    """Return what the result of a cell of this kind cannot be: ``result.itl_ms_p50 is -5.0``. None if it can."""
    if kind not in RESULTS:
        return None
    if wrong := mismatch(result, RESULTS[kind], "result"):
        return wrong
    return _FAULT_OF_RESULT[kind](result)


def _score_fault(result: Json) -> str | None:
    scores = result["scores"]
    if scores and result["primary"] not in scores:
        return f"result.primary is {result['primary']!a}, of which there is no score"
    for name, score in scores.items():
        impossible = _SHARE_SCORES.fullmatch(name) and not -SLACK <= score["value"] <= 1 + SLACK
        if impossible or score["n"] < 0:
            return f"result.scores.{name!a} is {score['value']} of {score['n']} items"
    return None


def _load_fault(result: Json) -> str | None:
    for name, value in result.items():
        if value is None or (most := highest(name)) is None:
            continue
        if not (type(value) is int or type(value) is float) or not 0 <= value <= most:
            return mismatch(value, NUMBER, f"result.{name}") or f"result.{name} is {value}"
    for family in {name[:-4] for name in result if name.endswith("_ms_p50")}:
        spread = [value for part in QUANTILES if (value := result.get(f"{family}_{part}")) is not None]
        if spread != sorted(spread):
            return f"the percentiles of result.{family} do not ascend"
    return None


def rows_fault(record: Record, rows: list[Json]) -> str | None:
    """Return what the rows of a record cannot be, by themselves or beside its result; None if they can."""
    kind = record.cell.kind
    if kind not in ROWS:
        return None
    for number, row in enumerate(rows, 1):
        if wrong := mismatch(row, ROWS[kind]):
            return f"row {number}: {wrong}"
    match record.result:
        case AccuracyResult() as result:
            return _items_fault(result, rows)
        case LoadResult() | CapacityResult() as result:
            return _requests_fault(result, rows)
    return None


def _items_fault(result: AccuracyResult, rows: list[Json]) -> str | None:
    if len(rows) < result.counts.items:
        return f"{len(rows)} rows for {result.counts.items} items"
    if result.primary == "perplexity":
        return _windows_fault(result, rows)
    for name in ("response", "finish_reason", "doc_hash", "prompt_hash"):
        if 0 < (having := sum(name in row for row in rows)) < len(rows):
            return f"{len(rows) - having} of {len(rows)} rows have no {name}"
    scored = {name for row in rows for name, value in (row.get("scores") or {}).items() if value is not None}
    if rows and scored != set(result.scores):
        return f"the rows have the scores {sorted(scored)}, the record {sorted(result.scores)}"
    for name, score in result.scores.items():
        if wrong := _mean_fault(rows, name, score, repr(name)):
            return wrong
    groups: dict[str, list[Json]] = {}
    for row in rows:
        groups.setdefault(row.get("group") or "", []).append(row)
    for group, score in _scores(result.details.get("groups")):
        if wrong := _mean_fault(groups.get(group, []), result.primary, score, f"{result.primary!r} of {group!a}"):
            return wrong
    return None


def _mean_fault(rows: list[Json], score: str, told: Score, what: str) -> str | None:
    found = [(row.get("scores") or {}).get(score) for row in rows]
    values = [value for value in found if value is not None]
    if not values or len(values) < len(found) or abs(sum(values) / len(values) - told.value) <= SLACK:
        return None
    return f"the rows give {what} = {sum(values) / len(values):.6g}, the record says {told.value:.6g}"


def _scores(groups: Any) -> list[tuple[str, Score]]:
    if mismatch(groups, {str: shape_of(Score)}) is not None:
        return []
    return [(group, Score.from_json(score)) for group, score in groups.items()]


def _windows_fault(result: AccuracyResult, rows: list[Json]) -> str | None:
    from base64 import b64decode

    for number, row in enumerate(rows, 1):
        if wrong := mismatch(row, {"tokens": int, "top_k": int, "logprob_sum": NUMBER}):
            return f"row {number}: {wrong}"
        n, k = row["tokens"], row["top_k"]
        for name, count in (("token_ids", n), ("token_logprobs", n), ("top_ids", n * k), ("top_logprobs", n * k)):
            try:
                length = len(b64decode(row[name], validate=True))
            except (KeyError, ValueError, TypeError):
                return f"row {number}: {name} is not base64"
            if length != 4 * count:
                return f"row {number}: {name} holds {length} bytes for {count} numbers"
    told = result.details.get("tokens")
    if told is not None and told != sum(row["tokens"] for row in rows):
        return f"the rows hold {sum(row['tokens'] for row in rows)} tokens, the record says {told}"
    return None


def _requests_fault(result: LoadResult | CapacityResult, rows: list[Json]) -> str | None:
    import numpy as np

    ended = 0
    gaps: list[np.ndarray] = []
    times: dict[str, list[float]] = {"ttft": [], "e2e": []}
    for number, row in enumerate(rows, 1):
        tokens = np.array(row.get("token_s") or (), dtype=float)
        if len(tokens) > 1 and (steps := np.diff(tokens)).min() < -2e-6:
            return f"row {number}: the times of its tokens run backwards"
        if row.get("error") or not len(tokens):
            continue
        if row.get("intended_s") is None:
            return f"row {number}: intended_s is missing"
        ended += 1
        gaps += [steps] if len(tokens) > 1 else []
        times["ttft"].append(tokens[0] - row["intended_s"])
        times["e2e"].append(tokens[-1] - row["intended_s"])
    if isinstance(result, CapacityResult):
        return None
    if ended != result.requests_completed:
        return f"{ended} rows of completed requests, the record says {result.requests_completed}"
    for name, values in {"itl": np.concatenate(gaps) if gaps else (), **times}.items():
        ours = 1e3 * np.percentile(values, (50, 99)) if len(values) else ()
        for part, value in zip(("p50", "p99"), ours, strict=False):
            told = result.metrics.get(f"{name}_ms_{part}")
            if told is not None and abs(value - told) > 0.01 + 1e-3 * abs(told):  # rows are rounded to a microsecond
                return f"the rows give {name}_ms_{part} = {value:.4f}, the record says {told:.4f}"
    return None


_FAULT_OF_RESULT = {"accuracy": _score_fault, "judge": _score_fault, "load": _load_fault, "gemm": lambda _: None}
