"""How old the stored cells are that a run would take instead of measuring them, and what they were measured against."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

from harness.records.cell import Cell
from harness.records.record import Record
from harness.records.store import Store

UNITS = ((86400, "day"), (3600, "hour"), (60, "minute"))


def cached_words(cells: Iterable[Cell], store: Store, now: datetime) -> list[str]:
    """Return a line for each server: ``42 cells measured 3 days ago against vLLM 0.31.0``."""
    ages: dict[str, list[timedelta]] = defaultdict(list)
    for record in store.records(cell.fingerprint for cell in cells if cell.fingerprint in store):
        ages[_against(record)] += _age(record, now)
    return [
        f"{_plural(len(found), 'cell')} measured {_span(found)}{against}" for against, found in ages.items() if found
    ]


def _against(record: Record) -> str:
    facts = record.engine
    server = facts.more.get("server")
    label = f"{server} {facts.version}".strip() if server else facts.label
    return f" against {label}" if label else ""


def _age(record: Record, now: datetime) -> Iterator[timedelta]:
    try:
        started = datetime.fromisoformat(record.started_at)
    except ValueError:
        return
    yield now - (started if started.tzinfo else started.replace(tzinfo=UTC))


def _span(ages: list[timedelta]) -> str:
    newest, oldest = _words(min(ages)), _words(max(ages))
    return oldest if newest == oldest else f"{newest} to {oldest}"


def _words(age: timedelta) -> str:
    for seconds, unit in UNITS:
        if age.total_seconds() >= seconds:
            return f"{_plural(int(age.total_seconds() // seconds), unit)} ago"
    return "just now"


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
