"""Probes of a capacity search that was interrupted."""

import pytest

from harness.records.flag import Flag
from harness.records.kept_probes import KeptProbe, KeptProbes
from harness.records.request import Request

ROWS = [Request(index=n, turn=0, intended_s=0.5 * n, sent_s=0.5 * n, token_s=[1.0 + n]).to_json() for n in range(3)]
CELL = "0123abcd"


def probe(number: int) -> KeptProbe:
    return KeptProbe(
        number=number, rate_rps=8.5, requests=3, valid=True, flags=(Flag("errors", "caution", "one"),), burst_rps=20.0
    )


@pytest.fixture
def kept(tmp_path):
    probes = KeptProbes(tmp_path)
    for number in range(3):
        probes.keep(CELL, probe(number), ROWS)
    return probes


def test_what_was_kept_is_read_by_the_next_run(kept, tmp_path):
    assert KeptProbes(tmp_path).read(CELL) == [(probe(number), ROWS) for number in range(3)]
    assert KeptProbes(tmp_path).read("another") == []


def test_a_new_search_replaces_an_older_one(kept, tmp_path):
    kept.keep(CELL, probe(0), ROWS[:1])
    assert KeptProbes(tmp_path).read(CELL) == [(probe(0), ROWS[:1])]


def test_one_that_is_to_be_measured_again_begins_anew(kept):
    kept.ignore([CELL])
    assert kept.read(CELL) == []


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-9], lambda data: b"", lambda data: b"{}", lambda data: data[::-1]]
)
def test_a_damaged_probe_ends_what_is_read(kept, tmp_path, damage):
    path = tmp_path / "probes" / CELL / "1.jsonl.gz"
    path.write_bytes(damage(path.read_bytes()))
    assert [one.number for one, _ in kept.read(CELL)] == [0]
