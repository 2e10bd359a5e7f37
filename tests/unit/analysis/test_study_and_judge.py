import pytest

from harness.analysis.quality.judge import judge_facts, win_rates
from harness.analysis.study import build_study
from harness.analysis.validity import engines
from harness.records.failed_cell import FailedCell
from harness.records.judge_details import JudgeDetails
from harness.records.manifest import Manifest
from harness.records.record import Record

CELLS = [
    {
        "key": f"k{i}",
        "kind": "accuracy",
        "variant": "a",
        "suite": "mmlu",
        "point": None,
        "repeat": 0,
        "fingerprint": f"f{i}",
    }
    for i in range(4)
]
MANIFEST = {
    "name": "s",
    "baseline": "a",
    "variants": {"a": {"label": "A"}},
    "suites": ["mmlu"],
    "scenarios": {"chat": {"prompt_tokens": 1, "output_tokens": 1, "slo": {"ttft_ms_p99": None, "itl_ms_p99": 50}}},
    "cells": CELLS,
}


def record(cell, fingerprint=None, started_at="2026-01-01"):
    return {"cell": cell, "fingerprint": fingerprint or cell["fingerprint"], "started_at": started_at, "result": {}}


def study(records, failures=()):
    return build_study(Manifest.from_json(MANIFEST), list(map(Record.from_json, records)), lambda r: [], list(failures))


def test_measured_failed_and_missing_cells():
    failures = [FailedCell("k1", "out of memory"), FailedCell("k0", "old")]
    found = study([record(CELLS[0])], failures)
    assert [m.cell.key for m in found.measured] == ["k0"]
    assert [(f.key, f.error) for f in found.failures] == [("k1", "out of memory")], "a measured cell has not failed"
    assert [cell.key for cell in found.missing] == ["k2", "k3"]


def test_a_record_of_another_configuration_is_not_this_studys():
    assert [cell.key for cell in study([record(CELLS[0], "other")]).missing] == ["k0", "k1", "k2", "k3"]


def test_the_newest_record_of_a_cell_counts():
    found = study([record(CELLS[0], started_at="2026-02-01"), record(CELLS[0], started_at="2026-01-01")])
    assert [m.started_at for m in found.measured] == ["2026-02-01"]


def test_only_limits_that_are_set_are_in_the_slo():
    assert study([]).scenarios["chat"].slo == {"itl_ms_p99": 50.0}


def facts(details):
    return judge_facts(JudgeDetails.from_json(details))


def test_a_judge_near_chance_is_weak():
    weak = facts({"judge": "j", "calibration": {"accuracy": 0.54, "low": 0.42, "high": 0.66, "pairs": 60}})
    assert weak.weakness == "the judge is no better than chance on known pairs (54.0 % [42.0, 66.0])"


def test_a_judge_without_calibration_is_not_believed():
    assert "not tried" in facts({"judge": "j"}).weakness


def test_a_good_judge_is_believed_and_its_interval_computed_where_it_lacks():
    good = facts({"calibration": {"accuracy": 0.9, "pairs": 60}})
    assert good.weakness is None and 0.79 < good.accuracy.low < 0.9


def test_one_engine_that_was_started_twice_is_one_engine():
    cells = [
        record(cell) | {"engine": {"kind": "vllm", "command": f"serve --port {9000 + i}"}}
        for i, cell in enumerate(CELLS)
    ]
    assert len(engines(study(cells))["a"]) == 1
    cells[0]["engine"]["command"] = "serve --port 1 --dtype float16"
    assert len(engines(study(cells))["a"]) == 2


def test_what_the_judge_knows_by_kind_and_where_it_looks():
    found = facts(
        {
            "calibration": {
                **{"accuracy": 0.8, "low": 0.7, "high": 0.87, "pairs": 96, "instructions": 32},
                "same_length": {"accuracy": 0.6, "low": 0.48, "high": 0.7, "pairs": 64},
                "by_kind": {"other": {"accuracy": 0.9, "low": 0.75, "high": 0.97, "pairs": 32}},
                **{"position_bias": 0.1, "position_bias_low": 0.02, "position_bias_high": 0.18},
            }
        }
    )
    assert found.by_kind["other"][0].value == 0.9 and found.by_kind["other"][1] == 32
    assert found.position_bias.excludes(0.0) and "length does not give away" in found.weakness


def judged(variant, wins, reference="gpt4"):
    cell = {"key": f"{variant}/judge", "kind": "judge", "variant": variant, "suite": "alpaca_eval", "repeat": 0}
    rows = [
        {"id": str(i), "doc_hash": str(i), "reference": reference, "scores": {} if w is None else {"win_rate": w}}
        for i, w in enumerate(wins)
    ]
    known = {"accuracy": 0.9, "low": 0.8, "high": 0.95, "pairs": 60}
    return cell, {"cell": cell, "result": {"details": {"calibration": known, "reference": reference}}}, rows


def judged_study(*cells):
    manifest = MANIFEST | {"suites": ["alpaca_eval"], "cells": [cell for cell, _, _ in cells]}
    manifest["variants"] = {cell["variant"]: {} for cell, _, _ in cells}
    rows = {cell["key"]: found for cell, _, found in cells}
    return build_study(
        Manifest.from_json(manifest),
        [Record.from_json(record) for _, record, _ in cells],
        lambda r: rows[r.cell.key],
        [],
    )


def test_win_rates_against_a_published_reference_are_compared_item_by_item():
    base = judged("a", [0.2, 0.4, 0.6, 0.8, None] * 10)
    own = judged("v", [0.1, 0.3, 0.5, 0.7, 0.9] * 10)
    found = win_rates(judged_study(base, own))
    assert found["a", "alpaca_eval"].difference is None
    difference = found["v", "alpaca_eval"].difference
    assert difference.value == pytest.approx(-0.1) and difference.high < 0, "40 items were read of both"
    assert found["v", "alpaca_eval"].win_rate.value == pytest.approx(0.5)


def test_win_rates_against_other_answers_are_not_compared():
    found = win_rates(judged_study(judged("a", [0.2, 0.4]), judged("v", [0.2, 0.4], reference="davinci")))
    assert found["v", "alpaca_eval"].difference is None
