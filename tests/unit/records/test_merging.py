"""Stores of machines that share nothing, as one."""

from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import ConfigError
from harness.records.accuracy_result import AccuracyResult
from harness.records.cell import Cell
from harness.records.load_result import LoadResult
from harness.records.manifest import Manifest, Scenario, Variant
from harness.records.point import LoadPoint
from harness.records.record import Record
from harness.records.store import Store
from harness.records.usage import Cost, SpentBeside, Usage
from harness.sweeps.merge import merge

VARIANTS = {"bf16": Variant("bf16", "BF16"), "fp8": Variant("fp8", "FP8"), "int4": Variant("int4", "INT4")}


def cell(key: str, number: int = 0, kind: str = "accuracy") -> Cell:
    variant, subject = key.split("/")[:2]
    fingerprint = f"{number}{key.encode().hex():0<15.15}"
    if kind == "load":
        return Cell(key, kind, variant, fingerprint, scenario=subject, point=LoadPoint("server", 1.0, 1))
    return Cell(key, kind, variant, fingerprint, suite=subject)


def store(root: Path, *cells: Cell, gpu: str | None = None, score: str = "x", planned: tuple[Cell, ...] = ()) -> Store:
    made = Store(root)
    for one in cells:
        result = AccuracyResult(primary=score) if one.kind == "accuracy" else LoadResult()
        inputs = {"host": {"gpus": [gpu]}} if gpu else {}
        made.write(
            Record(cell=one, fingerprint=one.fingerprint, result=result, inputs=inputs),
            [] if one.point else [{"id": 1}],
        )
    names = {"bf16", *(one.variant for one in (*cells, *planned))}
    made.write_manifest(
        Manifest(
            name="study",
            baseline="bf16",
            config={"variants": dict.fromkeys(sorted(names)), "seed": 0},
            variants={name: variant for name, variant in VARIANTS.items() if name in names},
            suites=("mmlu", "gsm8k"),
            scenarios={"chat": Scenario("chat", 8, 8, {})},
            cells=(*cells, *planned),
        )
    )
    return made


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.glob("cells/**/*") if path.is_file()}


def test_the_cells_of_both_are_copied_byte_by_byte(tmp_path, capsys):
    shared, fp8, int4 = cell("bf16/mmlu"), cell("fp8/mmlu"), cell("int4/mmlu")
    a = store(tmp_path / "a", shared, fp8)
    b = store(tmp_path / "b", int4, planned=(shared, cell("int4/gsm8k")))
    a.note_spent(SpentBeside(what="warm-up", usage=Usage(requests=1), cost=Cost(amount=0.1, currency="USD")))
    b.write_failure("int4/gsm8k", "no answer", None)
    a.write_failure("int4/mmlu", "died there", None)
    out = tmp_path / "merged" / "study"
    assert merge([a.root, b.root], out) == 0
    assert files(out) == files(a.root) | files(b.root)
    whole = Store(out)
    assert whole.check() == 3 and not whole.damages
    manifest = whole.manifest()
    assert [one.key for one in manifest.cells] == ["bf16/mmlu", "fp8/mmlu", "int4/mmlu", "int4/gsm8k"]
    assert manifest.config == {"variants": {"bf16": None, "fp8": None, "int4": None}, "seed": 0}
    assert list(manifest.variants) == ["bf16", "fp8", "int4"] and manifest.baseline == "bf16"
    assert [failure.key for failure in whole.failures()] == ["int4/gsm8k"], "the other was measured after all"
    assert [taken.what for taken in whole.spent()] == ["warm-up"]
    assert "3 of 4 cells, from 2 stores" in capsys.readouterr().out


def test_a_cell_that_both_hold_alike_is_no_conflict(tmp_path):
    one = cell("bf16/mmlu")
    a, b = store(tmp_path / "a", one), store(tmp_path / "b", one)
    assert merge([a.root, b.root], tmp_path / "c") == 0 and len(files(tmp_path / "c")) == 2


def test_different_content_is_named_and_decided_by_the_user_alone(tmp_path, capsys):
    one, other = cell("bf16/mmlu"), cell("fp8/mmlu")
    a, b = store(tmp_path / "a", one, other), store(tmp_path / "b", one, score="y")
    assert merge([a.root, b.root], tmp_path / "c") == 1
    said = capsys.readouterr().err
    assert f"conflict: bf16/mmlu: the same fingerprint, different content: {a.root} (" in said and "1 conflicts" in said
    assert not (tmp_path / "c").exists()
    assert merge([a.root, b.root], tmp_path / "c", prefer=b.root) == 0
    assert Store(tmp_path / "c").record(one.fingerprint).result == AccuracyResult(primary="y")


def test_a_cell_that_was_measured_under_two_fingerprints_is_a_conflict(tmp_path, capsys):
    a, b = store(tmp_path / "a", cell("bf16/mmlu", 1)), store(tmp_path / "b", cell("bf16/mmlu", 2))
    assert merge([a.root, b.root], tmp_path / "c") == 1
    assert "bf16/mmlu: different fingerprints" in capsys.readouterr().err


def test_speeds_of_different_gpu_models_are_merged_when_asked_for_alone(tmp_path):
    a = store(tmp_path / "a", cell("bf16/chat", kind="load"), gpu="NVIDIA H100")
    b = store(tmp_path / "b", cell("fp8/chat", kind="load"), gpu="NVIDIA A100")
    with pytest.raises(
        ConfigError, match=r"NVIDIA H100 \(bf16/chat in .*\), NVIDIA A100 \(fp8/chat in .*--across-gpus"
    ):
        merge([a.root, b.root], tmp_path / "c")
    assert merge([a.root, b.root], tmp_path / "c", across_gpus=True) == 0
    suites = store(tmp_path / "d", cell("fp8/mmlu"), gpu="NVIDIA A100")
    assert merge([a.root, suites.root], tmp_path / "e") == 0, "accuracy does not depend on how fast a GPU is"


def test_stores_that_are_not_of_one_study_are_refused(tmp_path):
    a, b = store(tmp_path / "a", cell("bf16/mmlu")), store(tmp_path / "b", cell("fp8/mmlu"))
    b.write_manifest(replace(b.manifest(), baseline="fp8"))
    with pytest.raises(ConfigError, match="its baseline differs between"):
        merge([a.root, b.root], tmp_path / "c")
    b.write_manifest(replace(b.manifest(), baseline="bf16", variants=VARIANTS | {"bf16": Variant("bf16", "another")}))
    with pytest.raises(ConfigError, match="variant bf16 differs between"):
        merge([a.root, b.root], tmp_path / "c")
    with pytest.raises(ConfigError, match="is not empty"):
        merge([a.root, b.root], a.root)
    with pytest.raises(ConfigError, match="two stores or more"):
        merge([a.root, a.root], tmp_path / "c")


def test_a_damaged_store_is_not_merged(tmp_path):
    a, b = store(tmp_path / "a", cell("bf16/mmlu")), store(tmp_path / "b", cell("fp8/mmlu"))
    [rows] = b.root.glob("cells/*/rows.jsonl.gz")
    rows.write_bytes(rows.read_bytes()[:-3])
    with pytest.raises(ConfigError, match="harness check --repair"):
        merge([a.root, b.root], tmp_path / "c")
