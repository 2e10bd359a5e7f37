"""Preflight's problems for a screen: alike ones as one, with what differs between them. Pure."""

import re
from collections.abc import Iterable

# What differs between problems that are alike: the subject, a dataset of a suite, a number of what is needed or here.
_DIFFERS = re.compile(
    r"(?<=\bvariant )\S+|(?<=\bcheckpoint )\S+|(?<=\bsuite )[^\s:]+(?=:)|(?<=\bdataset )\S+|"
    r"(?<=compute capability )[\d.]+(?: to below [\d.]+)?|(?<=served on )\d+(?= GPUs)"
)
BLANK = "…"


def grouped(problems: Iterable[str]) -> list[tuple[str, list[str]]]:
    """Return (problem, what differs in each of those alike), in order of appearance; alone, it differs in nothing.

    ``("checkpoint … is not in the hub's cache", ["org/a", "org/b"])``
    """
    found: dict[str, list[str]] = {}
    for problem in problems:
        found.setdefault(_DIFFERS.sub(BLANK, problem.replace(": data: dataset", ": dataset")), []).append(problem)
    return [
        (shape, [" ".join(_DIFFERS.findall(one)) for one in alike]) if len(alike) > 1 else (alike[0], [])
        for shape, alike in found.items()
    ]
