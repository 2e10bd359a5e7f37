"""What an inspection finds wrong: what, where, what to do; one line for many layers with the same fault."""

from dataclasses import dataclass

LEVELS = ("error", "caution", "note", "unchecked")
SHOWN = 3  # names of a group


@dataclass(frozen=True)
class Problem:
    code: str  # truncated, missing_shard, unquantized, wrong_format, wrong_granularity, broken_24, bad_scale, ...
    where: str  # a file or a layer
    what: str
    do: str
    # error: not what it claims to be; caution: worth knowing; note: repaired; unchecked: the files cannot decide
    level: str = "error"


@dataclass(frozen=True)
class Fault:
    """A problem of many places at once."""

    code: str
    level: str
    what: str
    do: str
    where: tuple[str, ...]

    def __str__(self) -> str:
        named = ", ".join(self.where[:SHOWN])
        more = f" and {len(self.where) - SHOWN} more" if len(self.where) > SHOWN else ""
        return f"{named}{more}: {self.what}; {self.do}"


def grouped(problems: list[Problem]) -> list[Fault]:
    """Errors first, what is unchecked last; within a level in order of appearance."""
    found: dict[tuple[str, str, str, str], list[str]] = {}
    for problem in problems:
        where = found.setdefault((problem.code, problem.level, problem.what, problem.do), [])
        if problem.where not in where:
            where.append(problem.where)
    faults = [Fault(code, level, what, do, tuple(where)) for (code, level, what, do), where in found.items()]
    return sorted(faults, key=lambda fault: LEVELS.index(fault.level))
