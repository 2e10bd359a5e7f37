"""Parts of a run's sessions that an earlier run has sent to its executor, and that go on. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from harness.executors import Task
from harness.sweeps.distributed.parts import Part, narrowed, reads
from harness.sweeps.plan import Plan


def earlier_parts(tasks: Iterable[Task], plan: Plan) -> list[Part]:
    """Return the tasks that measure cells of the plan, with the cells; others are left to the plan that they are of."""
    found = []
    for task in tasks:
        for session in plan.sessions:
            if cells := tuple(cell for cell in session.cells if cell.fingerprint in task.cells):
                found.append(Part(narrowed(session, task.name, cells), task))
                break
    return found


def beside(started: Sequence[Part], parts: Iterable[Part]) -> Iterator[Part]:
    """Yield what else is to be measured: with other names, and after the answers that are being gathered."""
    taken = {part.task.name for part in started}
    parts = list(parts)
    names = {part.task.name: next(name for name in _names(part.task.name) if name not in taken) for part in parts}
    for part in parts:
        name = names[part.task.name]
        after = (*map(names.__getitem__, part.task.after), *(one.task.name for one in started if reads(part, one)))
        yield Part(replace(part.session, name=name), replace(part.task, name=name, after=after))


def _names(name: str) -> Iterator[str]:
    yield name
    number = 2
    while True:
        yield f"{name} ({number})"
        number += 1
