"""What lm-eval logs of each item -> the harness's item rows, and the scores, counts and flags made from the rows.

lm-eval logs an item once for every filter of its task (GSM8K: strict-match and flexible-extract); a row is one item.
A score is called `metric`, or `metric_filter` where a task has filters: `acc`, `exact_match_strict`.
"""

from collections.abc import Callable
from numbers import Real
from typing import Any

from harness.accuracy.completions import UNREADABLE
from harness.accuracy.lm_eval.logprobs import UNREAD
from harness.accuracy.reasoning import mark
from harness.errors import CellError, did_you_mean
from harness.records.flag import Flag

SHORT = {"none": "", "strict-match": "_strict", "flexible-extract": "_flexible"}
PREFERRED = ("acc", "exact_match_flexible", "exact_match")  # what stands for a suite that names no metric
INVALID = "[invalid]"  # lm-eval's regex filters, when they find no answer
TOLERATED = 0.10  # share of truncated or unparsed answers above which a score is read with care


def score_name(metric: str, filter_name: str) -> str:
    return metric + SHORT.get(filter_name, "_" + filter_name.replace("-", "_"))


def item_rows(
    samples: dict[str, list[dict[str, Any]]],
    groups: dict[str, str | None],
    generation_of: Callable[[str, dict[str, Any]], Any],
) -> list[dict[str, Any]]:
    """Rows in lm-eval's order. `samples`: its logged samples by task; `groups`: the group that a task's rows get."""
    rows: dict[str, dict[str, Any]] = {}
    for task, logged in samples.items():
        for sample in logged:
            key = f"{task}/{sample['doc_id']}"
            if key not in rows:
                row = {"id": key, "group": groups.get(task), "doc_hash": sample["doc_hash"]}
                row |= {"prompt_hash": sample["prompt_hash"], "scores": {}}
                rows[key] = row | _response(sample["arguments"], sample["resps"], generation_of)
            row = rows[key]
            for metric in sample["metrics"]:
                value = sample[metric]
                if isinstance(value, Real) and 0 <= value <= 1:
                    row["scores"][score_name(metric, sample["filter"])] = float(value)
            if "extracted" in row:
                row["extracted"][sample["filter"]] = sample["filtered_resps"][0]
    return list(rows.values())


def _response(arguments: list, resps: list, generation_of: Callable) -> dict[str, Any]:
    if isinstance(arguments[0][1], dict):  # (context, generation settings); else (context, continuation)
        answer = generation_of(*arguments[0][:2])
        facts = {"finish_reason": answer.finish_reason, "completion_tokens": answer.completion_tokens}
        return mark({"response": answer.text, **facts, "extracted": {}}, arguments[0][0])
    asked = [(context, choice, resp[0][0]) for (context, choice, *_), resp in zip(arguments, resps, strict=True)]
    asked = [one for one in asked if one[0]] or asked  # acc_mutual_info asks every choice without its context too
    if any(logprob == UNREAD[0] for *_, logprob in asked):
        return {"response": "", "finish_reason": UNREADABLE, "completion_tokens": None}
    named = dict(zip(_labels([choice for _, choice, _ in asked]), [logprob for *_, logprob in asked], strict=True))
    return {
        "response": max(named, key=named.get),  # the first of equals, as lm-eval takes it
        "logprobs": named,
        "finish_reason": None,  # nothing was generated
        "completion_tokens": None,
    }


def _labels(continuations: list[str]) -> list[str]:
    """The choices themselves where they are short (A, B, C, D); letters where they are sentences."""
    own = [continuation.strip() for continuation in continuations]
    if len(set(own)) == len(own) and all(0 < len(text) <= 16 for text in own):
        return own
    return [chr(ord("A") + n) if n < 26 else str(n) for n in range(len(own))]


def count_errors_as_wrong(rows: list[dict[str, Any]]) -> None:
    """Give the items of multiple choice whose answer could not be read every score of the others, at 0."""
    names = dict.fromkeys(name for row in rows for name in row["scores"])
    for row in rows:
        if row["finish_reason"] == UNREADABLE and "extracted" not in row:
            row["scores"] = dict.fromkeys(names, 0.0)


def scores_of(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """{score: {"value": mean over its items, "n": items}}"""
    names = dict.fromkeys(name for row in rows for name in row["scores"])
    values = {name: [row["scores"][name] for row in rows if name in row["scores"]] for name in names}
    return {name: {"value": sum(of) / len(of), "n": len(of)} for name, of in values.items()}


def primary_score(wanted: str | None, scores: dict[str, Any], items: int) -> str:
    """The score that stands for the suite; every item must have it, or variants could not be paired."""
    whole = [name for name, score in scores.items() if score["n"] == items]
    if not whole:
        raise CellError("the task gives its items no score between 0 and 1, so variants cannot be paired on it")
    if wanted is not None and wanted not in whole:
        raise CellError(f"the task has no score {wanted!r} for each item{did_you_mean(wanted, whole)}; set `metric`")
    return wanted or next((name for name in PREFERRED if name in whole), whole[0])


def check_against(rows: list[dict[str, Any]], reported: dict[str, dict[str, Any]], means: set[tuple[str, str]]) -> None:
    """Raises CellError where a mean of our rows is not lm-eval's. `means`: the (task, metric) that it averages."""
    by_task: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_task.setdefault(row["id"].rpartition("/")[0], []).append(row)
    for task, of_task in by_task.items():
        ours = scores_of(of_task)
        for key, value in reported[task].items():
            metric, _, filter_name = key.partition(",")
            score = ours.get(score_name(metric, filter_name)) if (task, metric) in means else None
            if score and abs(score["value"] - value) > 1e-9:
                raise CellError(
                    f"{task}: lm-eval reports {key} = {value}, the items say {score['value']}; report a bug"
                )


def by_group(rows: list[dict[str, Any]], score: str, group_of: Callable[[dict], str | None]) -> dict[str, dict]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if (group := group_of(row)) is not None:
            groups.setdefault(group, []).append(row)
    return {group: scores_of(of_group)[score] for group, of_group in sorted(groups.items())}


def counts_of(rows: list[dict[str, Any]], primary: str) -> dict[str, int]:
    """`unparsed`: the primary score's own filter found no answer."""
    generated = [row for row in rows if "extracted" in row]
    unparsed = [
        any(primary.endswith(score_name("", name)) and answer == INVALID for name, answer in row["extracted"].items())
        for row in generated
    ]
    return {
        "items": len(rows),
        "truncated": sum(row["finish_reason"] == "length" for row in generated),
        "empty": sum(not row["response"].strip() for row in generated),
        "unparsed": sum(unparsed),
        "errors": sum(row["finish_reason"] == UNREADABLE for row in rows),
    }


def ties(rows: list[dict[str, Any]]) -> int:
    """Multiple choice decided by the order of the choices: BF16 logits are coarse, and equal ones are common."""
    best_two = [sorted(row["logprobs"].values())[-2:] for row in rows if len(row.get("logprobs", ())) > 1]
    return sum(first == second for first, second in best_two)


def flags_of(counts: dict[str, int], population: int, prompts_cut: int, context_length: int | None) -> list[Flag]:
    items, flags = counts["items"], []
    for code, what in (
        ("truncated", "were cut at the token limit; raise max_tokens"),
        ("unparsed", "held no answer that could be read"),
    ):
        if counts[code] > TOLERATED * items:
            flags.append(Flag(code, "caution", f"{counts[code]} of {items} answers {what}"))
    if prompts_cut:
        message = f"{prompts_cut} prompts lost their beginning: longer than the server's {context_length} tokens"
        flags.append(Flag("prompt_cut", "caution", message))
    if items < population:
        flags.append(Flag("partial", "note", f"{items} of {population} items, a seeded random subset"))
    return flags
