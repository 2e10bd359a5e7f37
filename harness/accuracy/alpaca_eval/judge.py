"""AlpacaEval, second half: a judge compares a variant's answers with a reference's, and is first tried on known pairs.

Every pair is judged in both orders; an item's win rate is the mean of the two, so that a judge that only likes the
first answer gives one half. The win rate of a judge that is not believed (calibration.py) is marked invalid.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version

from harness.accuracy import Context
from harness.accuracy.alpaca_eval.annotator import win_rate
from harness.accuracy.alpaca_eval.both_orders import both_orders, parse_rate, position_bias
from harness.accuracy.alpaca_eval.judge_prompts import ANSWER_CHARS, Pair, answer_chars, template
from harness.accuracy.alpaca_eval.references import Reference
from harness.accuracy.context_length import served_context_length
from harness.accuracy.items import count_answers, mean_scores, outcome
from harness.accuracy.judges import hub_commit
from harness.accuracy.reasoning import judged_flags
from harness.accuracy.suite import Facts
from harness.config.schema import Judge
from harness.errors import CellError
from harness.records import Outcome
from harness.records.accuracy_result import AccuracyResult, Counts, DataRef
from harness.records.flag import Flag
from harness.records.item import Item, Preference
from harness.records.judge_details import Calibration, JudgeDetails

REVISION = 2  # of this module's own protocol: raise it when questions, pairs or scores change


def judge_fingerprint(judge: Judge, *, reference: str = "baseline") -> Facts:
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


def run_judge(
    context: Context,
    judge: Judge,
    answers: Sequence[Item],
    references: Sequence[Item] | Sequence[Reference],
    *,
    calibration: Calibration,
    reference: str = "baseline",
    data: DataRef | None = None,
) -> Outcome:
    """`answers` and `references` are joined on (id, doc_hash). `data`: of the answers' record."""
    pairs = _join(answers, references)
    texts = [Pair(answer.instruction or "", answer.response, other.response) for answer, other in pairs]
    context_tokens = served_context_length(context.server)
    judged = both_orders(context, judge, texts, context_tokens)
    items = [_item(answer, other, one) for (answer, other), one in zip(pairs, judged, strict=True)]
    shown = [answer_chars(text, judge.prompt, context_tokens) for text in texts]
    counts = replace(
        count_answers(len(items), items, unparsed=sum(one.value is None for one in judged)),
        errors=0,
        equal=sum(item.response.strip() == (item.reference or "").strip() for item in items),
        cut_for_judge=sum(
            max(len(text.first), len(text.second)) > chars for text, chars in zip(texts, shown, strict=True)
        ),
    )
    values = [one.value for one in judged if one.value is not None]
    lengths = [len(answer.response) - len(other.response) for answer, other in pairs]
    limit = ANSWER_CHARS[judge.prompt]
    details = JudgeDetails(
        judge=(judge.endpoint_model if judge.base_url else judge.model) or "unnamed",
        judge_commit=None if judge.base_url else hub_commit(judge.model or ""),
        prompt=judge.prompt,
        reference=reference,
        parse_rate=parse_rate(judged),
        position_bias=position_bias(judged),
        length_difference=sum(lengths) / len(lengths),
        answer_chars_shown=limit,
        calibration=calibration,
        alpaca_eval={"version": version("alpaca-eval"), **(win_rate(values) if values else {})},
    )
    result = AccuracyResult(
        primary="win_rate",
        scores=mean_scores(items),
        counts=counts,
        data=data,
        details=details.to_json(),
    )
    return outcome(result, items, _flags(counts, calibration, limit) + judged_flags(items))


def _join(
    answers: Sequence[Item], references: Sequence[Item] | Sequence[Reference]
) -> list[tuple[Item, Item | Reference]]:
    if not answers:
        raise CellError("there is no answer to judge")
    reference = {(one.id, one.doc_hash): one for one in references}
    missing = [answer.id for answer in answers if (answer.id, answer.doc_hash) not in reference]
    if missing:
        raise CellError(
            f"the reference has no answer to {len(missing)} of {len(answers)} instructions (first: {missing[0]}); "
            "the questions have drifted"
        )
    return [(answer, reference[answer.id, answer.doc_hash]) for answer in answers]


def _item(answer: Item, other: Item | Reference, judged: Preference) -> Item:
    scores = {} if judged.value is None else {"win_rate": judged.value}
    return replace(answer, scores=scores, reference=other.response, preference=judged)


def _flags(counts: Counts, calibration: Calibration, limit: int) -> list[Flag]:
    flags = []
    if reason := calibration.weakness:
        flags.append(Flag("judge_at_chance", "invalid", reason))
    elif unseen := [f"{kind} {found}" for kind, found in calibration.by_kind.items() if found.at_chance]:
        message = f"kinds of known pairs on which the judge cannot be told from chance: {', '.join(unseen)}"
        flags.append(Flag("judge_weak_kind", "caution", message))
    if counts.unparsed:
        level = "invalid" if counts.unparsed > counts.items / 2 else "caution"
        message = f"{counts.unparsed} of {counts.items} judgements named neither answer; they are left out"
        flags.append(Flag("unparsed", level, message))
    if counts.cut_for_judge:
        message = f"{counts.cut_for_judge} of {counts.items} pairs were cut for the judge, at {limit} characters "
        message += "an answer or what its context holds"
        flags.append(Flag("cut_for_judge", "note", message))
    return flags
