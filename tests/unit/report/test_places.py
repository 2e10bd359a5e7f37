"""Which machine and GPU measured what."""

from harness.analysis import analyse
from harness.report.tables.provenance import places_table
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
