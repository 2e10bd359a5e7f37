"""The dry run says how old the cells are that it would not measure, and what they were measured against."""

from datetime import UTC, datetime

from harness.records.accuracy_result import AccuracyResult
from harness.records.cell import Cell
from harness.records.engine_facts import EngineFacts
from harness.records.record import Record
from harness.records.store import Store
from harness.sweeps.cached import cached_words

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)


def stored(tmp_path, *measured):
    """(started_at, engine facts) of each cell."""
    store, cells = Store(tmp_path), []
    for number, (started_at, engine) in enumerate(measured):
        cell = Cell(f"v/s{number}", "accuracy", "v", f"{number:016}")
        cells.append(cell)
        store.write(
            Record(
                cell=cell,
                fingerprint=cell.fingerprint,
                result=AccuracyResult(primary="x"),
                engine=EngineFacts.from_json(engine),
                started_at=started_at,
            ),
            [],
        )
    return cells, store


def test_cells_are_counted_by_what_they_were_measured_against(tmp_path):
    old = {"kind": "endpoint", "version": "0.31.0", "server": "vLLM"}
    new = {"kind": "vllm", "version": "0.32.0"}
    cells, store = stored(
        tmp_path,
        ("2026-11-27T11:00:00+00:00", old),
        ("2026-11-27T08:00:00+00:00", old),
        ("2026-11-30T09:00:00+00:00", new),
        ("2026-11-28T11:00:00+00:00", new),
        ("2026-11-30T11:59:30+00:00", {}),
    )
    missing = Cell("v/missing", "accuracy", "v", "f" * 16)
    assert cached_words([*cells, missing], store, NOW) == [
        "2 cells measured 3 days ago against vLLM 0.31.0",
        "2 cells measured 3 hours ago to 2 days ago against vllm 0.32.0",
        "1 cell measured just now",
    ]


def test_a_time_that_cannot_be_read_is_not_guessed(tmp_path):
    cells, store = stored(tmp_path, ("yesterday", {}))
    assert cached_words(cells, store, NOW) == []
