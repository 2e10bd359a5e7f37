import errno
import os

import pytest

from harness.errors import ConfigError, DiskFull
from harness.records.accuracy_result import AccuracyResult
from harness.records.cell import Cell
from harness.records.cell_files import read_rows
from harness.records.failed_cell import FailedCell
from harness.records.manifest import Manifest, Variant
from harness.records.record import Record
from harness.records.store import Store
from harness.records.usage import Cost, SpentBeside, Usage

RESULT = AccuracyResult(primary="x")


def record(fingerprint="f" * 16, key="bf16/mmlu"):
    return Record(cell=Cell(key, "accuracy", "bf16"), fingerprint=fingerprint, result=RESULT)


def used(what, amount):
    usage = Usage(requests=1, prompt_tokens=10, completion_tokens=5)
    return SpentBeside(what=what, usage=usage, cost=Cost(amount=amount, currency="USD"))


def test_what_is_written_is_read_back(tmp_path):
    Store(tmp_path).write(record(), [{"id": 1, "response": "ü"}, {"id": 2}])
    again = Store(tmp_path)
    assert "f" * 16 in again
    assert again.record("f" * 16).result == RESULT
    assert again.rows("f" * 16) == [{"id": 1, "response": "ü"}, {"id": 2}]


def test_a_half_written_cell_is_not_there_and_is_cleaned_up(tmp_path):
    half = tmp_path / ".cell-dead"
    half.mkdir()
    (half / "rows.jsonl.gz").write_bytes(b"half")
    store = Store(tmp_path)
    with store.locked():
        assert not half.exists()
    assert store.check() == 0


def test_a_full_disk_leaves_nothing_half_written(tmp_path, monkeypatch):
    store = Store(tmp_path)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DiskFull, match="free some"):
        store.write(record(), [{"id": 1}])
    assert "f" * 16 not in store
    assert list(tmp_path.iterdir()) == []


def test_a_failure_is_gone_once_the_cell_is_measured(tmp_path):
    store = Store(tmp_path)
    store.write_failure("bf16/mmlu", "the server died", None)
    assert store.failures() == [FailedCell("bf16/mmlu", "the server died")]
    store.write(record(), [])
    assert store.failures() == []


def test_two_runs_of_one_sweep_do_not_mix(tmp_path):
    with Store(tmp_path).locked(), pytest.raises(ConfigError, match="in use by another run"), Store(tmp_path).locked():
        pass


def test_a_folder_that_is_no_sweep_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"no sweep\.json"):
        Store(tmp_path).manifest()
    (tmp_path / "sweep.json").write_text("{")
    with pytest.raises(ConfigError, match="not valid JSON"):
        Store(tmp_path).manifest()


def test_the_manifest_is_replaced_whole(tmp_path):
    store = Store(tmp_path)
    for name in ("a", "b"):
        written = Manifest(name, "bf16", {"bf16": Variant("bf16", "BF16")}, margin=0.02)
        store.write_manifest(written)
    assert store.manifest() == written
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.json"]


def test_what_was_spent_for_no_record_outlives_a_crash_in_the_middle_of_a_line(tmp_path):
    store = Store(tmp_path)
    assert store.spent() == []
    store.note_spent(used("a, warm-up", 1.0))
    with (tmp_path / "spent.jsonl").open("a") as file:
        file.write('\n{"what": "b", "co')
    store.note_spent(used("c", 2.0))
    assert [(one.what, one.cost.amount) for one in store.spent()] == [("a, warm-up", 1.0), ("c", 2.0)]


def test_half_written_files_of_a_run_that_was_killed_are_removed(tmp_path):
    (tmp_path / "failures").mkdir()
    left = [tmp_path / ".sweep.json-0123abcd", tmp_path / "failures/.bf16.json-0123abcd"]
    kept = [tmp_path / ".mine", tmp_path / "failures/.mine.json"]
    for path in (*left, *kept):
        path.write_text("{")
    with Store(tmp_path).locked():
        assert not any(path.exists() for path in left) and all(path.exists() for path in kept)


def test_a_cell_that_is_measured_again_replaces_the_earlier_one_and_keeps_it(tmp_path):
    fingerprint = "f" * 16
    Store(tmp_path).write(record(), [{"id": 1}])
    for rows in ([{"id": 2}], [{"id": 3}]):
        store = Store(tmp_path)
        store.measure_again([fingerprint, "0" * 16])
        assert fingerprint not in store
        assert Store(tmp_path).rows(fingerprint) == [{"id": rows[0]["id"] - 1}], "until the new one is there"
        store.write(record(), rows)
        assert Store(tmp_path).rows(fingerprint) == store.rows(fingerprint) == rows
    earlier = sorted((tmp_path / "cells/.earlier").iterdir())
    assert [read_rows(folder) for folder in earlier] == [[{"id": 1}], [{"id": 2}]]
    assert Store(tmp_path).check() == 1 and not Store(tmp_path).damages
