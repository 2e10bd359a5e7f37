"""Probes of a capacity search are kept by the sweep, as those of the build that was planned."""

from types import SimpleNamespace

import pytest

from harness.config.workloads import LoadPoints, Scenario
from harness.errors import EngineError
from harness.loadgen import measure as loadgen
from harness.records.cell import PlannedCell
from harness.records.kept_probes import KeptProbe, KeptProbes
from harness.records.point import LoadPoint
from harness.sweeps.kinds.contract import Bench
from harness.sweeps.kinds.load import Load

POINT = LoadPoint("capacity", None, 10)
CELL = PlannedCell("old/chat/capacity_r0", "load", "old", "f1", scenario="chat", point=POINT)
PROBE = KeptProbe(number=0, rate_rps=2.0, requests=10, valid=True)


def bench(store, confirm_build) -> Bench:
    config = SimpleNamespace(scenarios={"chat": Scenario(10, 10)}, load=LoadPoints(), seed=0)
    return Bench(
        prepared=SimpleNamespace(config=config),
        server=None,
        store=store,
        cells={},
        tokenizer=lambda: None,
        tokenizer_location=str,
        advance=lambda done, total: None,
        say=lambda line: None,
        confirm_build=confirm_build,
    )


@pytest.fixture
def searching(monkeypatch):
    """A search of one probe, and what it began with."""
    began = []

    def search(sent, point, progress, say, begun):
        began.append([one.number for one, _ in begun.probes])
        begun.keep(PROBE, [])

    monkeypatch.setattr(loadgen, "measure", search)
    return began


def test_a_probe_is_kept_and_the_next_run_begins_with_it(searching, tmp_path):
    store = SimpleNamespace(probes=KeptProbes(tmp_path))
    for _ in range(2):
        Load().measure(CELL, bench(store, lambda: None))
    assert searching == [[], [0]]


def test_a_probe_of_another_build_is_not_kept(searching, tmp_path):
    def restarted():
        raise EngineError("the server was restarted with another build")

    probes = KeptProbes(tmp_path)
    with pytest.raises(EngineError, match="another build"):
        Load().measure(CELL, bench(SimpleNamespace(probes=probes), restarted))
    assert probes.read("f1") == []
