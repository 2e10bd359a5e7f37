"""Preflight's problems for a screen: alike ones as one, with what the others differ in. Pure."""

import re
from collections.abc import Iterable

# What differs between problems that are alike: the subject, a dataset of a suite, a number of what is needed or here.
_DIFFERS = re.compile(
    r"(?<=\bvariant )\S+|(?<=\bcheckpoint )\S+|(?<=\bsuite )[^\s:]+(?=:)|(?<=\bdataset )\S+|"
    r"(?<=compute capability )[\d.]+(?: to below [\d.]+)?|(?<=served on )\d+(?= GPUs)"
)


def grouped(problems: Iterable[str]) -> list[tuple[str, list[str]]]:
    """Return (the first problem of those alike, what the others differ in), in order of appearance.

    ``("checkpoint org/a is not in the hub's cache", ["org/b", "org/c"])``
    """
    found: dict[str, list[str]] = {}
    for problem in problems:
        found.setdefault(_DIFFERS.sub("", problem.replace(": data: dataset", ": dataset")), []).append(problem)
    return [(first, list(map(_differs, others))) for first, *others in found.values()]


def _differs(problem: str) -> str:
    """``w4a16 (8.0)``"""
    subject, *rest = (text.rstrip(":") for text in _DIFFERS.findall(problem))
    return f"{subject} ({', '.join(rest)})" if rest else subject
