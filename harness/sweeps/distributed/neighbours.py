"""What ran beside a cell that measures time: other sessions, as planned, and processes that nobody planned."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from harness.machine.core_use import core_use
from harness.records.flag import Flag
from harness.records.interference import ACCURACY, LOAD, Interference

OTHERS = 0.05  # the share of a session's cores that others may take unnoticed


@dataclass
class Watched:
    """`flags`: once the context has ended."""

    flags: list[Flag] = field(default_factory=list)


@contextmanager
def watching(cores: Sequence[int]) -> Iterator[Watched]:
    """Watch who uses the cores that a session is bound to; without cores nothing is watched."""
    watched, before = Watched(), core_use(cores) if cores else None
    yield watched
    if before and (after := core_use(cores)):
        share = after.others_since(before, len(cores))
        if share > OTHERS:
            message = f"other processes took {share:.0%} of the session's {len(cores)} CPU cores".replace("%", " %")
            watched.flags.append(Flag("foreign_cpu", "caution", message))


def neighbour_flag(neighbours: Mapping[str, bool], result: Interference | None) -> Flag | None:
    """Flag a cell that measures time beside other sessions, unless such neighbours were shown to change nothing.

    `neighbours`: names of sessions, and whether each measures time too; `result`: of the machine's interference test.
    """
    wanted = {LOAD if times else ACCURACY for times in neighbours.values()}
    known = {one.neighbours: one for one in result.beside} if result else {}
    doubtful = [kind for kind in sorted(wanted) if kind not in known or not known[kind].harmless]
    if not doubtful:
        return None
    largest = [known[kind].largest for kind in doubtful if kind in known]
    told = "; ".join(f"{change.metric} {change.words}" for change in largest if change)
    effect = f"by the machine's interference test: {told}" if told else "their effect was not measured"
    return Flag("neighbours", "caution", f"measured beside {', '.join(neighbours)} on the same machine; {effect}")
