"""Which machine and GPU measured what."""

from harness.analysis import analyse
from harness.records.interference import LOAD, Beside, Change, Interference
from harness.report.tables.provenance import interference_table, places_table
from tests.unit.report import synthetic_study


def placed(place_of) -> list[list[str]]:
    manifest, records, rows = synthetic_study.parts()
    for record in records:
        if place := place_of(record["cell"]):
            record["placement"] = place
    found = places_table(analyse(synthetic_study.build(manifest, records, rows)))
    return [[cell.text for cell in row] for row in found.rows]


def test_each_machine_and_gpu_is_a_row_with_its_variants_and_neighbours():
    def place_of(cell):
        beside = ["bf16"] if cell["kind"] == "load" else []
        return {"host": "node1", "gpus": [f"GPU-{cell['variant'] != 'bf16':d}"], "neighbours": beside}

    first, second = placed(place_of)
    assert first[:2] == ["node1", "GPU-0"] and second[:2] == ["node1", "GPU-1"]
    assert first[3] == "Dense BF16" and "Dense BF16" not in second[3].split(", ")
    _, records, _ = synthetic_study.parts()
    loads = sum(record["cell"]["kind"] == "load" for record in records)
    assert int(first[4]) + int(second[4]) == len(records)
    assert int(first[5]) + int(second[5]) == loads


def test_one_place_is_not_worth_a_table():
    assert placed(lambda cell: None) == []


def test_cells_that_neighbours_may_have_changed_are_marked_on_the_first_screen_with_the_test():
    manifest, records, rows = synthetic_study.parts()
    assert not any(mark.word == "SHARED" for mark in analyse(synthetic_study.build(manifest, records, rows)).marks)
    change = Change("itl_ms_p99", 12.5, 1.031, 1.02, 1.042)
    test = Interference({}, "bf16", "m", 8, 6, 170.0, "2026-11-30T10:00:00+00:00", (Beside(LOAD, (change,)),))
    manifest["interference"] = test.to_json()
    loads = [record for record in records if record["cell"]["kind"] == "load"]
    loads[0]["flags"] = [{"code": "neighbours", "level": "caution", "message": "measured beside fp8"}]
    findings = analyse(synthetic_study.build(manifest, records, rows))
    [mark] = [mark for mark in findings.marks if mark.word == "SHARED"]
    assert mark.reason.startswith("1 cell measured beside other sessions or processes")
    assert "itl_ms_p99 by +3.1 % [+2.0, +4.2]" in mark.reason
    found = interference_table(findings)
    assert [[cell.text for cell in row] for row in found.rows] == [
        ["load", "itl_ms_p99", "12.50", "+3.1 % [+2.0, +4.2]"]
    ]
    assert "8 sessions at once" in found.note and "executor.colocate=auto is none here" in found.note
