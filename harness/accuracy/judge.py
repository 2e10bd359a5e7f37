"""AlpacaEval, second half: a judge compares a variant's answers with a reference's, and is first tried on known pairs.

Every pair is judged in both orders; an item's win rate is the mean of the two, so that a judge that only likes the
first answer gives one half. A judge is believed when it finds the better answer of pairs where that is known more
often than a coin: the win rate of one that does not is marked invalid.
"""

import hashlib
import math
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any

from harness.accuracy import Context
from harness.accuracy.judge_annotator import preferences, win_rate
from harness.accuracy.judge_prompts import ANSWER_CHARS, CALIBRATION_ITEMS, STYLES, Pair, known_pairs, template
from harness.config import Judge
from harness.errors import CellError, did_you_mean
from harness.records import Flag, Outcome

REVISION = 1  # of this module's own protocol: raise it when questions, pairs or scores change
TIE = 1e-6  # a judge that always names the first answer gives 0.5 but for rounding
_Z = 1.959964  # two-sided 95 %


@dataclass(frozen=True)
class Judged:
    """A pair in both orders: how far its first answer is preferred, 0 to 1, when shown first and when shown second."""

    shown_first: float | None
    shown_second: float | None

    @property
    def value(self) -> float | None:
        """None unless both could be read: one order alone carries the judge's liking for a position."""
        if self.shown_first is None or self.shown_second is None:
            return None
        return (self.shown_first + self.shown_second) / 2


def judge_fingerprint(judge: Judge, *, weights: str | None = None, reference: str = "baseline") -> dict[str, Any]:
    """`weights`: digest of a model that the harness serves. An endpoint is known by its address and model name."""
    return {
        "judge": weights or judge.model or {"base_url": judge.base_url, "model": judge.endpoint_model},
        "engine_args": list(judge.engine_args),
        "prompt": judge.prompt,
        "template": hashlib.sha256(template(judge.prompt).encode()).hexdigest(),
        "answer_chars": ANSWER_CHARS[judge.prompt],
        "calibration_items": CALIBRATION_ITEMS,
        "reference": reference,
        "alpaca_eval": version("alpaca-eval"),
        "revision": REVISION,
    }


def problems(judge: Judge) -> list[str]:
    if judge.prompt not in STYLES:
        return [f"unknown judge.prompt {judge.prompt!r}{did_you_mean(judge.prompt, list(STYLES))}"]
    return []


def planned_calls(items: int, calibrated: bool = False) -> int:
    """Judge calls of one cell, at most (equal answers are not asked); `calibrated`: an earlier cell has done that."""
    return 2 * items + (0 if calibrated else 4 * min(items, CALIBRATION_ITEMS))


def run_judge(
    context: Context,
    judge: Judge,
    rows: list[dict[str, Any]],
    reference_rows: list[dict[str, Any]],
    seed: int,
    *,
    calibration: dict[str, Any] | None = None,
    reference: str = "baseline",
    data: dict[str, Any] | None = None,
    digest: str | None = None,
) -> Outcome:
    """`rows` and `reference_rows`: answer rows, joined on (id, doc_hash). `calibration`: None asks for it here,
    on the reference's answers. `data`: of the answers' record. `digest`: of the judge's weights, where known."""
    pairs = _join(rows, reference_rows)
    texts = [Pair(row["instruction"], row["response"], other["response"]) for row, other in pairs]
    known = [] if calibration else known_pairs([other for _, other in pairs], judge.prompt, seed)
    total, done = 2 * (len(texts) + len(known)), 0
    if calibration is None:
        part = replace(context, progress=lambda now, _: context.progress(now, total))
        calibration, done = calibrate(part, judge, [other for _, other in pairs], seed), 2 * len(known)
    part = replace(context, progress=lambda now, _: context.progress(done + now, total))
    judged = _both_orders(part, judge, texts)
    item_rows = [_item(row, other, one) for (row, other), one in zip(pairs, judged, strict=True)]
    outcome = _outcome(judge, pairs, item_rows, judged, calibration, reference)
    outcome.result["data"] = data or {}
    outcome.result["details"]["judge_digest"] = digest
    return outcome


def calibrate(context: Context, judge: Judge, rows: list[dict[str, Any]], seed: int) -> dict[str, Any]:
    """How often the judge finds the better answer of known pairs, both orders taken together.

    accuracy with its Wilson interval (low, high); a tie, or a pair that cannot be read, is half found: a coin.
    position_bias: share of judgements for the answer shown first, minus one half.
    """
    known = known_pairs(rows, judge.prompt, seed)
    judged = _both_orders(context, judge, [pair for _, pair in known])
    found = [(kind, _hit(one.value)) for (kind, _), one in zip(known, judged, strict=True)]
    right = sum(hit for _, hit in found)
    low, high = wilson(right, len(found))
    kinds = {kind: [hit for name, hit in found if name == kind] for kind in sorted({kind for kind, _ in found})}
    return {
        "accuracy": right / len(found) if found else None,
        "low": low,
        "high": high,
        "pairs": len(found),
        "position_bias": _position_bias(judged),
        "parse_rate": _parse_rate(judged),
        "by_kind": {kind: {"accuracy": sum(hits) / len(hits), "pairs": len(hits)} for kind, hits in kinds.items()},
        "answers_by": next((row["generator"] for row in rows if row.get("generator")), "reference"),
    }


def _hit(value: float | None) -> float:
    if value is None or abs(value - 0.5) < TIE:
        return 0.5
    return float(value > 0.5)


def wilson(right: float, n: int) -> tuple[float, float]:
    """95 % interval of a share (E. B. Wilson 1927); 0 to 1 for no observation."""
    if n == 0:
        return 0.0, 1.0
    p, z2 = right / n, _Z * _Z
    middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return max(0.0, middle - half), min(1.0, middle + half)


def _both_orders(context: Context, judge: Judge, pairs: list[Pair]) -> list[Judged]:
    asked = [order for pair in pairs for order in (pair, pair.swapped)]
    first = preferences(
        context.server, asked, judge.prompt,
        concurrency=context.concurrency, work_dir=context.work_dir, progress=context.progress,
    )  # fmt: skip
    other = [None if value is None else 1.0 - value for value in first]
    return [Judged(first[i], other[i + 1]) for i in range(0, len(asked), 2)]


def _join(rows, reference_rows) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    if not rows:
        raise CellError("there is no answer to judge")
    reference = {(row["id"], row["doc_hash"]): row for row in reference_rows}
    missing = [row["id"] for row in rows if (row["id"], row["doc_hash"]) not in reference]
    if missing:
        raise CellError(
            f"the reference has no answer to {len(missing)} of {len(rows)} instructions (first: {missing[0]}); "
            "the questions have drifted"
        )
    return [(row, reference[row["id"], row["doc_hash"]]) for row in rows]


def _item(row: dict[str, Any], other: dict[str, Any], judged: Judged) -> dict[str, Any]:
    kept = ("id", "group", "doc_hash", "prompt_hash", "instruction", "response", "finish_reason", "completion_tokens")
    return {
        **{key: row.get(key) for key in kept},
        "scores": {} if judged.value is None else {"win_rate": judged.value},
        "reference": other["response"],
        "preference": {"shown_first": judged.shown_first, "shown_second": judged.shown_second},
    }


def _outcome(judge: Judge, pairs, rows, judged: list[Judged], calibration: dict[str, Any], reference: str) -> Outcome:
    values = [one.value for one in judged if one.value is not None]
    limit = ANSWER_CHARS[judge.prompt]
    lengths = [len(row["response"]) - len(other["response"]) for row, other in pairs]
    counts = {
        "items": len(rows),
        "truncated": sum(row["finish_reason"] == "length" for row in rows),
        "empty": sum(not row["response"].strip() for row in rows),
        "unparsed": len(rows) - len(values),
        "errors": 0,
        "equal": sum(row["response"].strip() == other["response"].strip() for row, other in pairs),
        "cut_for_judge": sum(max(len(row["response"]), len(other["response"])) > limit for row, other in pairs),
    }
    result = {
        "primary": "win_rate",
        "scores": {"win_rate": {"value": sum(values) / len(values), "n": len(values)}} if values else {},
        "counts": counts,
        "details": {
            "judge": judge.endpoint_model or judge.model,
            "prompt": judge.prompt,
            "reference": reference,
            "parse_rate": _parse_rate(judged),
            "position_bias": _position_bias(judged),
            "length_difference": sum(lengths) / len(lengths),
            "length_unit": "characters",
            "answer_chars_shown": limit,
            "calibration": calibration,
            "alpaca_eval": {"version": version("alpaca-eval"), **(win_rate(values) if values else {})},
        },
    }
    return Outcome(result, rows, _flags(counts, calibration, limit))


def _flags(counts: dict[str, int], calibration: dict[str, Any], limit: int) -> list[Flag]:
    flags = []
    if calibration["low"] <= 0.5:
        share = "no pair" if not calibration["pairs"] else f"{100 * calibration['accuracy']:.0f} %"
        message = (
            f"the judge found the better answer of {share} of {calibration['pairs']} known pairs "
            f"(95 % interval {100 * calibration['low']:.0f} to {100 * calibration['high']:.0f}): no better than a coin"
        )
        flags.append(Flag("judge_at_chance", "invalid", message))
    if counts["unparsed"]:
        level = "invalid" if counts["unparsed"] > counts["items"] / 2 else "caution"
        message = f"{counts['unparsed']} of {counts['items']} judgements named neither answer; they are left out"
        flags.append(Flag("unparsed", level, message))
    if counts["cut_for_judge"]:
        message = f"{counts['cut_for_judge']} of {counts['items']} pairs were cut at {limit} characters for the judge"
        flags.append(Flag("cut_for_judge", "note", message))
    return flags


def _judgements(judged: list[Judged]) -> list[float | None]:
    """Preference for the answer that was shown first, one a judgement."""
    return [v for one in judged for v in (one.shown_first, None if one.shown_second is None else 1 - one.shown_second)]


def _parse_rate(judged: list[Judged]) -> float | None:
    values = _judgements(judged)
    return sum(value is not None for value in values) / len(values) if values else None


def _position_bias(judged: list[Judged]) -> float | None:
    votes = [_hit(value) for value in _judgements(judged) if value is not None]
    return sum(votes) / len(votes) - 0.5 if votes else None
