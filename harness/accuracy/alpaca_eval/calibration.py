"""How often a judge finds the better answer of pairs where that is known."""

from collections.abc import Sequence
from typing import Any

from harness.accuracy import Context
from harness.accuracy.alpaca_eval.both_orders import both_orders, hit, judgements, parse_rate
from harness.accuracy.alpaca_eval.judge_prompts import KINDS, SAME_LENGTH, known_pairs
from harness.accuracy.alpaca_eval.references import Reference
from harness.accuracy.context_length import served_context_length
from harness.config.schema import Judge
from harness.records.judge_details import Calibration, Judgement, KnownPairs, Standing

NOT_TRIED = KnownPairs(None, 0.0, 1.0, 0)


def calibrate(
    context: Context,
    judge: Judge,
    answers: Sequence[Reference],
    seed: int,
    weak: Sequence[Reference] = (),
    published: Standing | None = None,
) -> Calibration:
    """Ask the judge which answer of known pairs is the better one, both orders taken together (judge_prompts.py).

    A tie, or a pair that cannot be read, is half found: a coin. `published` says whose `answers` and `weak` are, and
    where their standing is published.
    """
    known = known_pairs(answers, judge.prompt, seed, judge.calibration_items, weak)
    judged = both_orders(context, judge, [one.pair for one in known], served_context_length(context.server))
    hits = [(one.kind, one.instruction_id, hit(result.value)) for one, result in zip(known, judged, strict=True)]
    votes = [
        (one.instruction_id, hit(vote))
        for one, result in zip(known, judged, strict=True)
        for vote in judgements([result])
        if vote is not None
    ]
    bias = _share([vote for _, vote in votes], [instruction for instruction, _ in votes])
    kinds = [kind for kind in KINDS if any(name == kind for name, _, _ in hits)]
    overall = _found(hits, KINDS)
    return Calibration(
        accuracy=overall.accuracy,
        low=overall.low,
        high=overall.high,
        pairs=overall.pairs,
        instructions=len({one.instruction_id for one in known}),
        same_length=_found(hits, SAME_LENGTH),
        by_kind={kind: _found(hits, (kind,)) for kind in kinds},
        position_bias=None if bias is None else bias.value - 0.5,
        position_bias_low=None if bias is None else bias.low - 0.5,
        position_bias_high=None if bias is None else bias.high - 0.5,
        parse_rate=parse_rate(judged),
        answers_by=next((one.generator for one in answers if one.generator), "reference"),
        published=published if weak else None,
        judgements=tuple(
            Judgement(
                kind=one.kind,
                id=one.instruction_id,
                shown_first=result.shown_first,
                shown_second=result.shown_second,
            )
            for one, result in zip(known, judged, strict=True)
        ),
    )


def _found(hits: list[tuple[str, str, float]], kinds: tuple[str, ...]) -> KnownPairs:
    """`hits`: (kind, instruction, found or not). Pairs of one instruction depend on each other: the interval is
    clustered by instruction.
    """
    chosen = [(instruction, hit) for kind, instruction, hit in hits if kind in kinds]
    share = _share([hit for _, hit in chosen], [instruction for instruction, _ in chosen])
    return NOT_TRIED if share is None else KnownPairs(share.value, share.low, share.high, len(chosen))


def _share(values: list[float], clusters: list[str]) -> Any:
    """An Estimate; None for no values."""
    # scipy: not for the planner, which imports this module
    from harness.analysis.statistics.clustered import clustered_share

    return clustered_share(values, clusters) if values else None
