"""What lm-eval logs, as items; and the scores, counts and flags made of them.

lm-eval logs an item once for every filter of its task (GSM8K: strict-match and flexible-extract).
A score is called `metric`, or `metric_filter` where a task has filters: `acc`, `exact_match_strict`.
"""

from collections.abc import Callable
from dataclasses import replace
from numbers import Real
from typing import Any

from harness.accuracy.completions import Completion
from harness.accuracy.items import answer_of, count_answers, mean_scores
from harness.accuracy.lm_eval.logprobs import UNREAD
from harness.errors import CellError, did_you_mean
from harness.records.accuracy_result import Counts, Score
from harness.records.flag import Flag
from harness.records.item import UNREADABLE, Item

Sample = dict[str, Any]  # as lm-eval logs it
GenerationSettings = dict[str, Any]  # gen_kwargs of a task

SHORT = {"none": "", "strict-match": "_strict", "flexible-extract": "_flexible"}
PREFERRED = ("acc", "exact_match_flexible", "exact_match")  # primary score of a suite that names no metric
INVALID = "[invalid]"  # lm-eval's regex filters, when they find no answer
TOLERATED = 0.10  # share of truncated or unparsed answers above which a score is read with care


def score_name(metric: str, filter_name: str) -> str:
    return metric + SHORT.get(filter_name, "_" + filter_name.replace("-", "_"))


def items_of(
    samples: dict[str, list[Sample]],
    groups: dict[str, str],
    generation_of: Callable[[str, GenerationSettings], Completion],
) -> list[Item]:
    """Items in lm-eval's order. `samples`: what it logged, by task; `groups`: the group that a task's items get."""
    of_item: dict[str, list[Sample]] = {}
    for task, logged in samples.items():
        for sample in logged:
            of_item.setdefault(f"{task}/{sample['doc_id']}", []).append(sample)
    return [_item(key, groups.get(key.rpartition("/")[0]), one, generation_of) for key, one in of_item.items()]


def _item(
    key: str, group: str | None, samples: list[Sample], generation_of: Callable[[str, GenerationSettings], Completion]
) -> Item:
    """`samples`: one for every filter of the task."""
    first, scores = samples[0], {}
    for sample in samples:
        for metric in sample["metrics"]:
            value = sample[metric]
            if isinstance(value, Real) and 0 <= float(value) <= 1:
                scores[score_name(metric, sample["filter"])] = float(value)
    identity = {"id": key, "group": group, "doc_hash": first["doc_hash"], "prompt_hash": first["prompt_hash"]}
    context, asked = first["arguments"][0][:2]
    if not isinstance(asked, dict):  # a continuation, else the settings of a generation
        return Item(**identity, scores=scores, **_chosen(first["arguments"], first["resps"]))
    answer = answer_of(generation_of(context, asked), context)
    extracted = {sample["filter"]: sample["filtered_resps"][0] for sample in samples}
    return Item(**identity, scores=scores, **vars(answer), extracted=extracted)


def _chosen(arguments: list[Any], resps: list[Any]) -> dict[str, Any]:
    asked = [(context, choice, resp[0][0]) for (context, choice, *_), resp in zip(arguments, resps, strict=True)]
    asked = [one for one in asked if one[0]] or asked  # acc_mutual_info asks every choice without its context too
    if any(logprob == UNREAD[0] for *_, logprob in asked):
        return {"finish_reason": UNREADABLE}
    named = dict(zip(_labels([choice for _, choice, _ in asked]), [logprob for *_, logprob in asked], strict=True))
    return {
        "response": max(named, key=named.__getitem__),
        "logprobs": named,
    }  # the first of equals, as lm-eval takes it


def _labels(continuations: list[str]) -> list[str]:
    """The choices themselves where they are short (A, B, C, D); letters where they are sentences."""
    own = [continuation.strip() for continuation in continuations]
    if len(set(own)) == len(own) and all(0 < len(text) <= 16 for text in own):
        return own
    return [chr(ord("A") + n) if n < 26 else str(n) for n in range(len(own))]


def errors_as_wrong(items: list[Item]) -> list[Item]:
    """Give the items of multiple choice whose answer could not be read every score of the others, at 0."""
    wrong = dict.fromkeys((name for item in items for name in item.scores), 0.0)
    return [
        replace(item, scores=wrong) if item.finish_reason == UNREADABLE and item.extracted is None else item
        for item in items
    ]


def primary_score(wanted: str | None, scores: dict[str, Score], items: int) -> str:
    """The primary score of the suite; every item must have it, or variants could not be paired."""
    whole = [name for name, score in scores.items() if score.n == items]
    if not whole:
        raise CellError("the task gives its items no score between 0 and 1, so variants cannot be paired on it")
    if wanted is not None and wanted not in whole:
        raise CellError(f"the task has no score {wanted!r} for each item{did_you_mean(wanted, whole)}; set `metric`")
    return wanted or next((name for name in PREFERRED if name in whole), whole[0])


def check_against(items: list[Item], reported: dict[str, dict[str, Any]], means: set[tuple[str, str]]) -> None:
    """Raises CellError where a mean over our items is not lm-eval's. `means`: the (task, metric) that it averages."""
    by_task: dict[str, list[Item]] = {}
    for item in items:
        by_task.setdefault(task_of(item), []).append(item)
    for task, of_task in by_task.items():
        ours = mean_scores(of_task)
        for key, value in reported[task].items():
            metric, _, filter_name = key.partition(",")
            score = ours.get(score_name(metric, filter_name)) if (task, metric) in means else None
            if score and abs(score.value - value) > 1e-9:
                raise CellError(f"{task}: lm-eval reports {key} = {value}, the items say {score.value}; report a bug")


def task_of(item: Item) -> str:
    return item.id.rpartition("/")[0]


def by_group(items: list[Item], score: str, group_of: Callable[[Item], str | None]) -> dict[str, Score]:
    groups: dict[str, list[Item]] = {}
    for item in items:
        if (group := group_of(item)) is not None:
            groups.setdefault(group, []).append(item)
    return {group: mean_scores(of_group)[score] for group, of_group in sorted(groups.items())}


def counts_of(items: list[Item], primary: str) -> Counts:
    """`unparsed`: the primary score's own filter found no answer."""
    generated = [item for item in items if item.extracted is not None]
    unparsed = [
        any(
            primary.endswith(score_name("", name)) and answer == INVALID
            for name, answer in (item.extracted or {}).items()
        )
        for item in generated
    ]
    counts = count_answers(len(items), generated, sum(unparsed))
    return replace(counts, errors=sum(item.finish_reason == UNREADABLE for item in items))


def ties(items: list[Item]) -> int:
    """Multiple choice decided by the order of the choices: BF16 logits are coarse, and equal ones are common."""
    best_two = [sorted(item.logprobs.values())[-2:] for item in items if item.logprobs and len(item.logprobs) > 1]
    return sum(first == second for first, second in best_two)


def flags_of(counts: Counts, population: int, prompts_cut: int, context_length: int | None) -> list[Flag]:
    items, flags = counts.items, []
    for code, count, what in (
        ("truncated", counts.truncated, "were cut at the token limit; raise max_tokens"),
        ("unparsed", counts.unparsed, "held no answer that could be read"),
    ):
        if count > TOLERATED * items:
            flags.append(Flag(code, "caution", f"{count} of {items} answers {what}"))
    if prompts_cut:
        message = f"{prompts_cut} prompts lost their beginning: longer than the server's {context_length} tokens"
        flags.append(Flag("prompt_cut", "caution", message))
    if items < population:
        flags.append(Flag("partial", "note", f"{items} of {population} items, a seeded random subset"))
    return flags
