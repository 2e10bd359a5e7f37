"""AlpacaEval, second half: a judge compares a variant's answers with a reference's, and is first tried on known pairs.

Every pair is judged in both orders; an item's win rate is the mean of the two, so that a judge that only likes the
first answer gives one half. A judge is believed when it finds the better answer of pairs where that is known more
often than a coin, also where length does not give it away: the win rate of one that does not is marked invalid.
"""

import hashlib
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from harness.accuracy import Context
from harness.accuracy.alpaca_eval.annotator import preferences, win_rate
from harness.accuracy.alpaca_eval.judge_identity import hub_commit
from harness.accuracy.alpaca_eval.judge_prompts import (
    ANSWER_CHARS,
    KINDS,
    SAME_LENGTH,
    STYLES,
    Pair,
    answer_chars,
    known_pairs,
    template,
)
from harness.accuracy.reasoning import judged_flags
from harness.config.schema import Judge
from harness.engines import Server
from harness.errors import CellError, did_you_mean
from harness.records import Outcome
from harness.records.flag import Flag

REVISION = 2  # of this module's own protocol: raise it when questions, pairs or scores change
TIE = 1e-6  # a judge that always names the first answer gives 0.5 but for rounding
CHANCE = 0.5
FEWEST_CALIBRATED = 4  # instructions


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


def judge_fingerprint(judge: Judge, *, reference: str = "baseline") -> dict[str, Any]:
    """What decides a verdict beside the judge itself, whose identity the plan fingerprints, and the answers."""
    return {
        "prompt": judge.prompt,
        "template": hashlib.sha256(template(judge.prompt).encode()).hexdigest(),
        "answer_chars": ANSWER_CHARS[judge.prompt],
        "calibration_items": judge.calibration_items,
        "reference": reference,
        "alpaca_eval": version("alpaca-eval"),
        "revision": REVISION,
    }


def problems(judge: Judge) -> list[str]:
    found = []
    if judge.prompt not in STYLES:
        found.append(f"unknown judge.prompt {judge.prompt!r}{did_you_mean(judge.prompt, list(STYLES))}")
    if judge.calibration_items < FEWEST_CALIBRATED:
        found.append(
            f"judge.calibration_items is {judge.calibration_items}; with fewer than {FEWEST_CALIBRATED} instructions "
            "no judge can be told from chance"
        )
    return found


def run_judge(
    context: Context,
    judge: Judge,
    rows: list[dict[str, Any]],
    reference_rows: list[dict[str, Any]],
    *,
    calibration: dict[str, Any],
    reference: str = "baseline",
    data: dict[str, Any] | None = None,
) -> Outcome:
    """`rows` and `reference_rows`: answer rows, joined on (id, doc_hash). `calibration`: what calibrate() gave.
    `data`: of the answers' record."""
    pairs = _join(rows, reference_rows)
    texts = [Pair(row["instruction"], row["response"], other["response"]) for row, other in pairs]
    context_tokens = _context_tokens(context.server)
    judged = _both_orders(context, judge, texts, context_tokens)
    item_rows = [_item(row, other, one) for (row, other), one in zip(pairs, judged, strict=True)]
    cut = sum(
        max(len(text.first), len(text.second)) > answer_chars(text, judge.prompt, context_tokens) for text in texts
    )
    return _outcome(judge, pairs, item_rows, judged, calibration, cut, reference, data or {})


def calibrate(
    context: Context,
    judge: Judge,
    rows: list[dict[str, Any]],
    seed: int,
    weak_rows: list[dict[str, Any]] = (),
    published: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """How often the judge finds the better answer of known pairs, both orders taken together (judge_prompts.py).

    A tie, or a pair that cannot be read, is half found: a coin. `accuracy` is over all pairs, `same_length` over those
    in which length gives nothing away, `by_kind` apart: each {"accuracy", "low", "high", "pairs"}, the interval
    clustered by instruction (analysis/clustered.py), because the pairs of one instruction are not independent.
    `position_bias` is the share of judgements for the answer shown first, minus one half, with `_low` and `_high`.
    `published` says whose answers `rows` and `weak_rows` are, and where their standing is published.
    """
    known = known_pairs(rows, judge.prompt, seed, judge.calibration_items, weak_rows)
    judged = _both_orders(context, judge, [one.pair for one in known], _context_tokens(context.server))
    hits = [(one.kind, one.instruction_id, _hit(result.value)) for one, result in zip(known, judged, strict=True)]
    votes = [
        (one.instruction_id, _hit(vote))
        for one, result in zip(known, judged, strict=True)
        for vote in _judgements([result])
        if vote is not None
    ]
    bias = _share([vote for _, vote in votes], [instruction for instruction, _ in votes])
    kinds = [kind for kind in KINDS if any(name == kind for name, _, _ in hits)]
    return {
        **_found(hits, KINDS),
        "instructions": len({one.instruction_id for one in known}),
        "same_length": _found(hits, SAME_LENGTH),
        "by_kind": {kind: _found(hits, (kind,)) for kind in kinds},
        "position_bias": None if bias is None else bias.value - 0.5,
        "position_bias_low": None if bias is None else bias.low - 0.5,
        "position_bias_high": None if bias is None else bias.high - 0.5,
        "parse_rate": _parse_rate(judged),
        "answers_by": next((row["generator"] for row in rows if row.get("generator")), "reference"),
        "published": published if weak_rows else None,
        "judgements": [
            {"kind": one.kind, "id": one.instruction_id, "shown_first": r.shown_first, "shown_second": r.shown_second}
            for one, r in zip(known, judged, strict=True)
        ],
    }


def _found(hits: list[tuple[str, str, float]], kinds: tuple[str, ...]) -> dict[str, Any]:
    """`hits`: (kind, instruction, found or not)."""
    chosen = [(instruction, hit) for kind, instruction, hit in hits if kind in kinds]
    share = _share([hit for _, hit in chosen], [instruction for instruction, _ in chosen])
    if share is None:
        return {"accuracy": None, "low": 0.0, "high": 1.0, "pairs": 0}
    return {"accuracy": share.value, "low": share.low, "high": share.high, "pairs": len(chosen)}


def _share(values: list[float], clusters: list[str]) -> Any:
    """An Estimate; None for no values."""
    from harness.analysis.statistics.clustered import (
        clustered_share,  # scipy: not for the planner, which imports this module
    )

    return clustered_share(values, clusters) if values else None


def _hit(value: float | None) -> float:
    if value is None or abs(value - 0.5) < TIE:
        return 0.5
    return float(value > 0.5)


def weakness(calibration: dict[str, Any]) -> str | None:
    """Why a judge is not believed; None when it can be told from chance, and not by the length of answers alone."""
    if not calibration.get("pairs"):
        return "the judge was not tried on pairs with a known better answer"
    if calibration["low"] <= CHANCE:
        return f"the judge is no better than chance on known pairs ({_interval(calibration)})"
    same = calibration.get("same_length") or {}
    if same.get("pairs") and same["low"] <= CHANCE:
        return f"the judge is no better than chance on known pairs that length does not give away ({_interval(same)})"
    return None


def _interval(found: dict[str, Any]) -> str:
    return f"{100 * found['accuracy']:.1f} % [{100 * found['low']:.1f}, {100 * found['high']:.1f}]"


def _context_tokens(server: Server) -> int | None:
    from harness.accuracy.lm_eval.model import served_context_length  # imports lm-eval

    return served_context_length(server)


def _both_orders(context: Context, judge: Judge, pairs: list[Pair], context_tokens: int | None) -> list[Judged]:
    asked = [order for pair in pairs for order in (pair, pair.swapped)]
    first = preferences(
        context.server, asked, judge.prompt,
        concurrency=context.concurrency, work_dir=context.work_dir, context_tokens=context_tokens,
        progress=context.progress,
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
        **{key: row[key] for key in ("reasoning",) if key in row},
        "scores": {} if judged.value is None else {"win_rate": judged.value},
        "reference": other["response"],
        "preference": {"shown_first": judged.shown_first, "shown_second": judged.shown_second},
    }


def _outcome(
    judge: Judge,
    pairs: list[tuple[dict[str, Any], dict[str, Any]]],
    rows: list[dict[str, Any]],
    judged: list[Judged],
    calibration: dict[str, Any],
    cut: int,
    reference: str,
    data: dict[str, Any],
) -> Outcome:
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
        "cut_for_judge": cut,
    }
    result = {
        "primary": "win_rate",
        "scores": {"win_rate": {"value": sum(values) / len(values), "n": len(values)}} if values else {},
        "counts": counts,
        "data": data,
        "details": {
            "judge": judge.endpoint_model if judge.base_url else judge.model,
            "judge_commit": None if judge.base_url else hub_commit(judge.model),
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
    return Outcome(result, rows, _flags(counts, calibration, limit) + judged_flags(rows))


def _flags(counts: dict[str, int], calibration: dict[str, Any], limit: int) -> list[Flag]:
    flags = []
    if reason := weakness(calibration):
        flags.append(Flag("judge_at_chance", "invalid", reason))
    elif unseen := [
        f"{kind} {_interval(found)}"
        for kind, found in (calibration.get("by_kind") or {}).items()
        if found["low"] <= CHANCE
    ]:
        message = f"kinds of known pairs on which the judge cannot be told from chance: {', '.join(unseen)}"
        flags.append(Flag("judge_weak_kind", "caution", message))
    if counts["unparsed"]:
        level = "invalid" if counts["unparsed"] > counts["items"] / 2 else "caution"
        message = f"{counts['unparsed']} of {counts['items']} judgements named neither answer; they are left out"
        flags.append(Flag("unparsed", level, message))
    if counts["cut_for_judge"]:
        message = f"{counts['cut_for_judge']} of {counts['items']} pairs were cut for the judge, at {limit} characters "
        message += "an answer or what its context holds"
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
