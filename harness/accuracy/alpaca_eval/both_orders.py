"""Pairs shown to a judge in both orders, so that its liking for a position cancels out."""

from collections.abc import Sequence

from harness.accuracy import Context
from harness.accuracy.alpaca_eval.annotator import preferences
from harness.accuracy.alpaca_eval.judge_prompts import Pair
from harness.config.schema import Judge
from harness.records.item import Preference

TIE = 1e-6  # a judge that always names the first answer gives 0.5 but for rounding


def both_orders(context: Context, judge: Judge, pairs: Sequence[Pair], context_tokens: int | None) -> list[Preference]:
    """How far the first answer of each pair is preferred."""
    asked = [order for pair in pairs for order in (pair, pair.swapped)]
    first = preferences(
        context.server, asked, judge.prompt,
        concurrency=context.concurrency, work_dir=context.work_dir, context_tokens=context_tokens,
        progress=context.progress,
    )  # fmt: skip
    other = [None if value is None else 1.0 - value for value in first]
    return [Preference(first[i], other[i + 1]) for i in range(0, len(asked), 2)]


def judgements(judged: Sequence[Preference]) -> list[float | None]:
    """Preference for the answer that was shown first, one a judgement."""
    return [v for one in judged for v in (one.shown_first, None if one.shown_second is None else 1 - one.shown_second)]


def parse_rate(judged: Sequence[Preference]) -> float | None:
    values = judgements(judged)
    return sum(value is not None for value in values) / len(values) if values else None


def position_bias(judged: Sequence[Preference]) -> float | None:
    votes = [hit(value) for value in judgements(judged) if value is not None]
    return sum(votes) / len(votes) - 0.5 if votes else None


def hit(value: float | None) -> float:
    """1 where the first answer is preferred, one half for a tie or what cannot be read: a coin."""
    if value is None or abs(value - 0.5) < TIE:
        return 0.5
    return float(value > 0.5)
