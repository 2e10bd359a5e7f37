"""What is stored is what its type declares: a field that is added to a type needs nothing else."""

import json
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import pytest

from harness.analysis.speed.performance import load_points
from harness.analysis.study import build_study
from harness.records.cell import Cell, PlannedCell
from harness.records.fields import later
from harness.records.manifest import Manifest, Scenario, Variant
from harness.records.point import LoadPoint
from harness.records.record import Record

POINT = LoadPoint("server", 2.0, 9, arrivals="gamma", burstiness=0.5, ramp_rps=(1.0, 3.0))


@dataclass(frozen=True)
class Wider(LoadPoint):
    """A load point with the field that a later version adds."""

    think_s: float = later(0.0)


def read_back(point: LoadPoint) -> LoadPoint:
    return type(point).from_json(json.loads(json.dumps(point.to_json())))


@pytest.mark.parametrize("point", [POINT, LoadPoint("throughput", requests=3), Wider("server", 2.0, 9, think_s=0.5)])
def test_a_point_is_read_back_as_it_was_stored(point: LoadPoint) -> None:
    assert read_back(point) == point and hash(read_back(point)) == hash(point)


def test_every_field_of_a_point_but_its_repeat_tells_two_points_apart() -> None:
    for declared in fields(LoadPoint):
        other = replace(POINT, **{declared.name: 7})
        assert (other.once == POINT.once) is (declared.name == "repeat")


def test_an_added_field_is_stored_and_named_where_it_is_used_and_changes_nothing_elsewhere() -> None:
    plain, used = Wider("server", 2.0, 9), Wider("server", 2.0, 9, think_s=0.5)
    assert plain.to_json() == LoadPoint("server", 2.0, 9).to_json(), "fingerprints of other cells stay"
    assert (plain.slug, plain.label) == ("server_2rps_r0", "server 2/s")
    assert used.to_json()["think_s"] == 0.5 and used.once != plain.once
    assert used.slug == "server_2rps_think_s-0.5_r0"
    assert (used.label, used.metric_suffix) == ("server 2/s think_s-0.5", "at_qps_2_think_s-0.5")


def grouped(points: list[LoadPoint]) -> list[tuple[LoadPoint, int]]:
    """(point, runs) of a study that was stored and read back."""
    cells = [Cell(f"v/chat/{n}", "load", "v", f"f{n}", scenario="chat", point=p) for n, p in enumerate(points)]
    cells = [replace(cell, repeat=cell.point.repeat) for cell in cells]
    manifest = Manifest("s", "v", {"v": Variant("v", "V")}, scenarios={"chat": Scenario("chat", 1, 1, {})}, cells=cells)
    stored = Manifest.from_json(json.loads(json.dumps(manifest.to_json())))
    stored = replace(stored, cells=tuple(replace(cell, point=read_back(cell.point)) for cell in cells))
    records = [Record(cell=cell, fingerprint=cell.fingerprint) for cell in cells]
    found = load_points(build_study(stored, records, lambda record: [], []))["v", "chat"]
    return [(result.point, len(result.runs)) for result in found]


@pytest.mark.parametrize("change", [{"burstiness": 0.25}, {"requests": 10}, {"arrivals": "constant"}])
def test_only_repeats_of_one_point_are_averaged(change: dict[str, Any]) -> None:
    other = replace(POINT, **change)
    points = [replace(point, repeat=repeat) for repeat in (0, 1) for point in (POINT, other)]
    assert grouped(points) == [(POINT, 2), (other, 2)]


def test_points_that_differ_in_an_added_field_are_not_averaged() -> None:
    one, two = (Wider("server", 2.0, 9, think_s=think_s) for think_s in (0.5, 1.0))
    assert grouped([one, two, replace(one, repeat=1)]) == [(one, 2), (two, 1)]


def test_the_inputs_of_a_planned_cell_are_not_stored_in_the_cell() -> None:
    cell = PlannedCell("v/mmlu", "accuracy", "v", "f", suite="mmlu", inputs={"seed": 0})
    assert Cell.from_json(cell.to_json()) == Cell("v/mmlu", "accuracy", "v", "f", suite="mmlu")


def test_records_and_manifests_are_written_as_they_were_read(stores: Path) -> None:
    records = [*(stores / "schema_2").glob("*/cells/*/record.json")]
    assert len(records) == 57
    for path in records:
        stored = json.loads(path.read_text())
        written = json.loads(json.dumps(Record.from_json(stored).to_json()))
        expected = {name: value for name, value in stored.items() if name not in ("schema", "files", "blake3")}
        assert written == expected and [*written] == [*expected], path.parent.name
    for name in ("tiny", "gemm"):
        manifest = Manifest.from_json(json.loads((stores / "schema_2" / name / "sweep.json").read_text()))
        assert Manifest.from_json(json.loads(json.dumps(manifest.to_json()))) == manifest
    stored = json.loads((stores / "schema_2/tiny/sweep.json").read_text())
    written = Manifest.from_json(stored).to_json()
    assert written["variants"] == stored["variants"] and written["cells"] == stored["cells"]
    assert [name for name in written if name in stored] == [n for n in stored if n not in ("schema", "blake3")]
