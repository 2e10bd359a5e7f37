import pytest

from harness.analysis.judge import judge_facts
from harness.analysis.study import build_study
from harness.analysis.validity import command_text, engines, kernels

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
    return build_study(MANIFEST, records, lambda r: [], list(failures))


def test_measured_failed_and_missing_cells():
    failures = [{"key": "k1", "error": "out of memory", "log": None}, {"key": "k0", "error": "old", "log": None}]
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


@pytest.mark.parametrize(
    "form",
    [
        [{"layer": "Linear", "kernel": "marlin", "emulated": True}],
        {"Linear": {"kernel": "marlin", "emulated": True}},
    ],
)
def test_kernels_in_either_form(form):
    (kernel,) = kernels({"kernels": form})
    assert (kernel.layer, kernel.kernel, kernel.emulated) == ("Linear", "marlin", True)


def test_kernels_as_plain_names():
    assert kernels({"kernels": {"Linear": "marlin"}})[0].kernel == "marlin"
    assert kernels({}) == ()


def test_an_api_key_in_the_command_is_not_shown():
    assert command_text({"command": ["serve", "--api-key", "sk-1", "--port", "1"]}) == "serve --api-key *** --port 1"
    assert "sk-1" not in command_text({"command": "serve --api-key=sk-1"})


def test_a_judge_near_chance_is_weak():
    weak = judge_facts({"judge": "j", "calibration": {"accuracy": 0.54, "low": 0.42, "high": 0.66, "pairs": 60}})
    assert weak.weakness == "the judge is no better than chance on known pairs (54.0 % [42.0, 66.0])"


def test_a_judge_without_calibration_is_not_believed():
    assert "not tried" in judge_facts({"judge": "j"}).weakness


def test_a_good_judge_is_believed_and_its_interval_computed_where_it_lacks():
    good = judge_facts({"calibration": {"accuracy": 0.9, "pairs": 60}})
    assert good.weakness is None and 0.79 < good.accuracy.low < 0.9


def test_one_engine_that_was_started_twice_is_one_engine():
    cells = [
        record(cell) | {"engine": {"kind": "vllm", "command": f"serve --port {9000 + i}"}}
        for i, cell in enumerate(CELLS)
    ]
    assert len(engines(study(cells))["a"]) == 1
    cells[0]["engine"]["command"] = "serve --port 1 --dtype float16"
    assert len(engines(study(cells))["a"]) == 2
