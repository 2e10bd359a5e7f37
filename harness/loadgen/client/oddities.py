"""What an answer may say that cannot be of one answer: flagged (loadgen/flags.py), never averaged in silence."""

from itertools import groupby, pairwise
from typing import Any

FEWEST_RUNS = 4  # of equal events, from which on runs of two and four alone are no chance

ODDITIES = {  # what cannot be of one answer, in the words of a flag
    "extra_tokens": "had more token events than the server counted tokens",
    "repeated_tokens": "brought the same token event twice",
    "late_tokens": "brought tokens after the answer's end (finish_reason or [DONE])",
    "mixed_answers": "brought token events of several answers (ids or choices differ)",
    "excess_bytes": "brought bytes beyond the response's end",
    "impossible_usage": "have a usage far above what was asked, which is not counted",
    "second_answer": "brought a second response in one read with the first",
}


def several_answers(names: list[Any]) -> bool:
    """Whether the ids of token events differ, and do not merely change with every chunk: several answers are mixed."""
    if not names or names.count(names[0]) == len(names):
        return False
    found = {name for name in names if name and isinstance(name, str)}
    return 1 < len(found) < len(names)


def surplus(said: list[bytes], completion_tokens: int | None) -> dict[str, bool]:
    """`said`: the events with text. Two equal ones in a row may be two equal tokens: the server's count decides. Where
    it gives none, events that come in runs of 2, 4, .. alone are sent twice."""
    if completion_tokens is None:
        runs = [len(list(run)) for _, run in groupby(said)] if len(said) >= 2 * FEWEST_RUNS else []
        return {"repeated_tokens": len(runs) >= FEWEST_RUNS and not any(length % 2 for length in runs)}
    extra = len(said) > completion_tokens
    twice = extra and any(one == other for one, other in pairwise(said))
    return {"repeated_tokens": twice, "extra_tokens": extra and not twice}
