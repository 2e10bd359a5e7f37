"""Which measurement a study is, so that one night's runs are never another's.

A measurement is known by its records: two studies are the same one where they share a record (a fingerprint and the
moment it was measured at). So a sweep that was resumed, or had an invalid cell measured again, completes its runs, and
the same sweep of another night has its own runs.
"""

from datetime import datetime
from hashlib import sha256

from harness.analysis import Study

RECORDS = "harness.records"  # a tag: ids of the records, oldest first
MEASUREMENT = "harness.measurement"  # a tag: the id that all runs of the measurement share
NOTHING_YET = "nothing measured yet"
_MOST_RECORDS = 300  # of them a tag has room


def record_ids(study: Study) -> list[str]:
    """Return an id of 12 characters for each record, the oldest first."""
    known = sorted((m.started_at, m.cell.fingerprint, m.cell.key) for m in study.measured)
    return [sha256("\n".join(parts).encode()).hexdigest()[:12] for parts in known[:_MOST_RECORDS]]


def same_measurement(tags: dict[str, str], ids: list[str]) -> bool:
    """Whether a run with these tags holds one of the records."""
    return not set(tags.get(RECORDS, "").split()).isdisjoint(ids)


def measured_ms(study: Study) -> int | None:
    """Return when the oldest record was measured, in ms since 1970; None where no record says it."""
    times = (_ms(m.started_at) for m in study.measured)
    return min((time for time in times if time is not None), default=None)


def _ms(started_at: str) -> int | None:
    try:
        return round(datetime.fromisoformat(started_at).timestamp() * 1000)
    except ValueError:
        return None
