"""A results folder with damage: what is named, left out, set aside, and what is refused."""

import json
import os
import sys
from pathlib import Path

import pytest

from harness.analysis.load_study import load_study
from harness.analysis.quality.judge import judge_facts
from harness.errors import ConfigError
from harness.records.cell import Cell
from harness.records.judge_details import JudgeDetails
from harness.records.manifest import Manifest, Variant
from harness.records.record import Record
from harness.records.record_check import RESULTS, result_fault
from harness.records.shapes import mismatch
from harness.records.store import Store
from harness.records.usage import Cost, SpentBeside, Usage
from harness.report.__main__ import main as report
from tests import commands
from tests.unit.compare.two_sweeps import store as synthetic_store

pytestmark = pytest.mark.slow

KEY = "accuracy-fp8-mmlu"


@pytest.fixture
def root(tmp_path):
    return synthetic_store(tmp_path / "results")


def cell(root: Path, key: str = KEY) -> Path:
    return next(root.glob(f"cells/{key}--*"))


def edit(path: Path, **changes) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes, indent=1))


def damage_of(root: Path) -> dict[str, str]:
    return {damage.path.partition("--")[0]: damage.reason for damage in load_study(root).damaged}


def check(*words) -> tuple[int, str]:
    done = commands.run([sys.executable, "-m", "harness.check", *map(str, words)])
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout + done.stderr


DAMAGE = {
    "record cut": ("record.json", lambda data: data[:300], "not valid JSON"),
    "record empty": ("record.json", lambda data: b"", "is empty"),
    "record zeroed": ("record.json", lambda data: bytes(len(data)), "is empty"),
    "record too deep": ("record.json", lambda data: b"[" * 200_000, "not valid JSON"),
    "record a list": ("record.json", lambda data: b"[]", "holds a list"),
    "a value changed": (
        "record.json",
        lambda data: data.replace(b'"duration_s": 12.5', b'"duration_s": 11.5'),
        "digest",
    ),
    "rows cut": ("rows.jsonl.gz", lambda data: data[:200], "rows.jsonl.gz does not match"),
    "rows empty": ("rows.jsonl.gz", lambda data: b"", "rows.jsonl.gz does not match"),
    "a bit of the rows": ("rows.jsonl.gz", lambda data: data[:50] + bytes([data[50] ^ 4]) + data[51:], "digest"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_cell_is_named_and_left_out(root, what):
    name, change, said = DAMAGE[what]
    path = cell(root) / name
    path.write_bytes(change(path.read_bytes()))
    study = load_study(root)
    assert [damage.path for damage in study.damaged] == [f"cells/{cell(root).name}"]
    assert said in study.damaged[0].reason
    assert KEY in [cell.key for cell in study.missing] and len(study.measured) > 5


def test_rows_of_another_variant_are_damage(root):
    (cell(root) / "rows.jsonl.gz").write_bytes((cell(root, "accuracy-bf16-mmlu") / "rows.jsonl.gz").read_bytes())
    assert list(damage_of(root)) == [f"cells/{KEY}"]


def test_swapped_records_and_a_record_that_is_gone_are_damage(root):
    one, two = cell(root) / "record.json", cell(root, "accuracy-bf16-mmlu") / "record.json"
    data = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(data)
    (cell(root, "accuracy-fp8-gsm8k") / "record.json").unlink()
    found = damage_of(root)
    assert "is of 'accuracy-bf16-mmlu'" in found[f"cells/{KEY}"] and "missing" in found["cells/accuracy-fp8-gsm8k"]
    assert len(found) == 3


def test_the_report_is_made_of_the_rest_and_says_so(root, tmp_path, monkeypatch, capsys):
    (cell(root) / "record.json").write_text("{")
    monkeypatch.setattr(sys, "argv", ["report", str(root), "--out", str(tmp_path / "out")])
    assert report() == 0
    name = f"cells/{cell(root).name}"
    assert f"warning: {root}/{name} is damaged" in capsys.readouterr().err
    for file in ("index.html", "release_notes.md", "summary.json"):
        text = (tmp_path / "out" / file).read_text()
        assert "DAMAGED" in text and cell(root).name in text.replace("\\_", "_")
    assert not (root / "cells/.damaged").exists()  # a report changes no store


def test_the_sweep_sets_damage_aside_and_the_cell_is_stored_again(root):
    record = Store(root).record(f"fp-{KEY}")
    path = cell(root)
    (path / "rows.jsonl.gz").write_bytes(b"")
    store = Store(root)
    store.survey([f"fp-{KEY}", "fp-accuracy-bf16-mmlu"])
    assert f"fp-{KEY}" not in store and "fp-accuracy-bf16-mmlu" in store
    with store.locked():
        store.set_aside()
    assert (root / "cells/.damaged" / path.name / "record.json").is_file() and not path.exists()
    store.write(record, [])
    assert not load_study(root).damaged


def test_a_folder_that_is_no_cell_does_not_stop_its_measurement(root):
    record = Store(root).record(f"fp-{KEY}")
    (cell(root) / "record.json").unlink()
    store = Store(root)
    store.survey([f"fp-{KEY}"])
    store.write(record, [])
    assert f"fp-{KEY}" in Store(root) and len(list((root / "cells/.damaged").iterdir())) == 1


def test_a_changed_manifest_is_named_and_one_that_cannot_be_read_is_one_line(root):
    edit(root / "sweep.json", margin=0.5)
    assert "it does not match its digest" in damage_of(root)["sweep.json"]
    for text in ("[]", "", "{", '{"cells": 3}', "\0" * 100):
        (root / "sweep.json").write_text(text)
        with pytest.raises(ConfigError, match=r"sweep\.json is damaged .* run the sweep again"):
            load_study(root)


def test_a_published_figure_without_its_source_is_damage(root):
    edit(root / "sweep.json", published=[{"variant": "fp8", "suite": "mmlu", "value": 0.5}])
    with pytest.raises(ConfigError, match=r"published\[0\]\.source is missing"):
        load_study(root)


def test_an_interval_that_lacks_an_end_is_computed():
    facts = judge_facts(JudgeDetails.from_json({"calibration": {"accuracy": 0.75, "low": 0.6, "pairs": 36}}))
    assert facts.accuracy.low < 0.75 < facts.accuracy.high


def test_the_warning_says_what_of_the_damage_is_used(root, tmp_path, capsys, monkeypatch):
    edit(root / "sweep.json", margin=0.5)
    edit(cell(root) / "record.json", duration_s=1e6)
    monkeypatch.setattr(sys, "argv", ["report", str(root), "--out", str(tmp_path / "out")])
    assert report() == 0
    of_manifest, of_cell = sorted(capsys.readouterr().err.splitlines(), key=lambda line: "/cells/" in line)
    assert "sweep.json" in of_manifest and "what can be read of it is used" in of_manifest
    assert "left out of the report" in of_cell


def test_damaged_failures_and_spendings_are_named(root):
    store = Store(root)
    store.write_failure("bf16/mmlu", "the server died", None)
    usage, cost = Usage(requests=1, prompt_tokens=1, completion_tokens=1), Cost(amount=1.0, currency="USD")
    for what in ("a", "b"):
        store.note_spent(SpentBeside(what=what, usage=usage, cost=cost))
    edit(root / "failures/bf16--mmlu.json", error="another")
    lines = (root / "spent.jsonl").read_text().splitlines(keepends=True)
    (root / "spent.jsonl").write_text("".join(lines[:-1]))
    again = Store(root)
    assert again.failures() == [] and [line.what for line in again.spent()] == ["a"]
    assert [damage.path for damage in again.damages] == ["failures/bf16--mmlu.json", "spent.jsonl"]
    again.set_aside()
    assert [line.what for line in Store(root).spent()] == ["a"] and not Store(root).failures()


@pytest.mark.parametrize("file", ["sweep.json", "record.json"])
def test_a_newer_schema_is_refused_by_name(root, file):
    edit(root / file if file == "sweep.json" else cell(root) / file, schema=3)
    said = "was written by a newer harness: schema 3; this one reads up to 2; upgrade"
    with pytest.raises(ConfigError, match=said):
        load_study(root)
    with pytest.raises(ConfigError, match=said):
        Store(root).survey([f"fp-{KEY}"])
    code, out = check(root, "--repair")
    assert code == 2 and said in out and not (root / "cells/.damaged").exists()


def older(root: Path) -> None:
    """Rewrite a store as it was before there were digests."""
    for path in root.rglob("*.json"):
        value = {k: v for k, v in json.loads(path.read_text()).items() if k not in ("schema", "files", "blake3")}
        path.write_text(json.dumps(({"schema": 1} if path.name == "record.json" else {}) | value))


def test_an_older_store_is_read_and_checked_by_what_its_rows_say(root):
    older(root)
    for path in root.glob("cells/load-*"):  # whose made-up rows are a part of the requests
        record = json.loads((path / "record.json").read_text())
        edit(path / "record.json", result=record["result"] | {"requests_completed": 16})
    assert not load_study(root).damaged
    rows = cell(root) / "rows.jsonl.gz"
    rows.write_bytes((cell(root, "accuracy-bf16-mmlu") / "rows.jsonl.gz").read_bytes())
    load = next(root.glob("cells/load-fp8-*server*")) / "record.json"
    result = json.loads(load.read_text())["result"]
    edit(load, result=result | {"itl_ms_p50": result["itl_ms_p50"] / 2})
    negative = next(root.glob("cells/load-fp8-*throughput*")) / "record.json"
    edit(negative, result=json.loads(negative.read_text())["result"] | {"itl_ms_p50": -5.0})
    nan = next(root.glob("cells/load-fp8-*single_stream*")) / "record.json"
    edit(nan, result=json.loads(nan.read_text())["result"] | {"itl_ms_p50": float("nan")})
    reasons = " ".join(damage_of(root).values())
    assert len(damage_of(root)) == 4
    for said in ("the rows give 'acc'", "the rows give itl_ms_p50", "itl_ms_p50 is -5.0", "not a finite number"):
        assert said in reasons


def test_check_names_each_problem_and_repairs(tmp_path):
    root = tmp_path / "results"
    store = Store(root)
    for key in ("a", "b"):
        store.write(Record(cell=Cell(key, "", ""), fingerprint=key * 16), [{"id": 1}])
    store.write_manifest(Manifest("x", "v", {"v": Variant("v", "V")}))
    assert check(root) == (0, f"{root}: 2 cells, 0 problems\n")
    (root / "cells" / ("a--" + "a" * 16) / "rows.jsonl.gz").write_bytes(b"x")
    code, out = check(root)
    assert code == 1 and "a--aaaaaaaaaaaaaaaa is damaged (rows.jsonl.gz does not match" in out and "1 problem" in out
    code, out = check(root, "--repair")
    assert code == 0 and os.listdir(root / "cells/.damaged") == ["a--" + "a" * 16]
    assert check(root)[0] == 0
    assert check(tmp_path / "nothing")[0] == 2


@pytest.mark.parametrize(
    ("score", "value", "possible"),
    [("acc", 0.7, True), ("acc_norm", 1.7, False), ("pass@1_plus", -0.1, False), ("rouge1_max", 43.1, True),
     ("bleu_diff", -2.5, True)],
)  # fmt: skip
def test_a_score_is_bounded_where_its_metric_is(score, value, possible):
    result = {"primary": score, "scores": {score: {"value": value, "n": 10}}}
    assert (result_fault("accuracy", result) is None) is possible


@pytest.mark.parametrize(
    ("details", "named"),
    [({"calibration": {"accuracy": "0.8", "pairs": 36}}, "accuracy"), ({"parse_rate": "all"}, "parse_rate"),
     ({"calibration": {"by_kind": {"swap": {"accuracy": 1.0, "pairs": []}}}}, "pairs"),
     ({"calibration": 3}, "calibration")],
)  # fmt: skip
def test_a_judges_details_are_numbers(details, named):
    result = {"primary": "win_rate", "scores": {"win_rate": {"value": 0.5, "n": 10}}, "details": details}
    assert named in result_fault("judge", result)


def test_a_result_that_was_never_written_is_checked_as_it_will_be():
    """Its window is a tuple until it is JSON."""
    result = {"window_s": (0.0, 1.0)}
    assert mismatch(result, {"window_s": RESULTS["load"]["window_s"]}, "result") is None
    assert "window_s" in mismatch({"window_s": (0.0, "end")}, {"window_s": RESULTS["load"]["window_s"]}, "result")
