"""Any single damage to a file of a results folder is found and named, or changes nothing that a report shows."""

import copy
import gzip
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analysis import analyse
from harness.analysis.load_study import load_study
from harness.analysis.study import Study
from harness.errors import ConfigError
from harness.records.manifest import Manifest
from harness.records.record import Record
from harness.records.store import Store
from harness.records.stored_json import NewerSchema
from harness.records.usage import SpentBeside
from harness.report.files.notes import release_notes
from harness.report.sections import fill
from tests.fuzz.budget import examples
from tests.unit.report import synthetic_records, synthetic_study
from tests.unit.report.synthetic_records import VARIANTS

TWO = {name: VARIANTS[name] for name in ("bf16", "fp8")}
USED = {
    "usage": {"requests": 3, "prompt_tokens": 90, "completion_tokens": 30},
    "cost": {"amount": 0.5, "currency": "USD"},
}
OTHER = (None, True, 0, -1, 3, 99, 1.5, 1e400, float("nan"), "", "x", "bf16", [], [1], {}, {"a": 1}, [[]], -0.5)


def write_store(root: Path, schema: int) -> Path:
    """Write a store of accuracy, judge and load cells, of this schema or as it was before there were digests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthetic_records, "SUITES", {"mmlu": (12, 14042, 0.6), "humaneval": (12, 164, 0.5)})
        manifest, records, rows = synthetic_study.parts(TWO, rates=[2.0], scenarios={"chat_64_8": (64, 8)})
    store = Store(root)
    store.write_manifest(Manifest.from_json(manifest))
    for number, record in enumerate(copy.deepcopy(records)):
        own = rows[record["cell"]["key"]]
        if record["cell"]["kind"] == "load":
            record["result"] |= {"requests_completed": len(own), "requests_sent": len(own)}
        if number == len(records) - 1:
            store.write_failure(record["cell"]["key"], "the server died", None)
            continue
        store.write(
            Record.from_json(record | USED), own, [{"t_s": 0.5, "device": 0, "power_w": 70.0}] if number == 0 else None
        )
    store.note_spent(SpentBeside.from_json({"what": "bf16, warm-up", **USED}))
    if schema == 1:
        for path in root.rglob("*.json"):
            value = json.loads(path.read_text())
            kept = {name: item for name, item in value.items() if name not in ("blake3", "files", "schema")}
            path.write_text(json.dumps(({"schema": 1} if path.name == "record.json" else {}) | kept, indent=1))
        (root / "spent.jsonl").write_text("\n" + json.dumps({"what": "bf16, warm-up", **USED}))
    return root


def once(method: Callable[[Store, str], Any]) -> Callable[[Store, str], Any]:
    """Read a cell anew only where its files differ from the first reading.

    One damage leaves the other cells as they were, and reading those was most of an input's time.
    """
    whole: dict[tuple[str, str], tuple[dict[str, bytes], Any]] = {}

    def read(store: Store, fingerprint: str) -> Any:
        folder = store._index[fingerprint]
        files = {path.name: path.read_bytes() for path in folder.iterdir()}
        name = store.root.name, folder.name  # a copy of a store has its name
        known, value = whole.get(name, (None, None))
        if files != known:
            value = method(store, fingerprint)
            whole.setdefault(name, (files, value))
        return value

    return read


@pytest.fixture(scope="module", autouse=True)
def whole_cells_are_read_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("record", "rows"):
            patch.setattr(Store, name, once(getattr(Store, name)))
        yield


def shown(study: Study) -> tuple[dict, list[str]]:
    """Return all that a report is made of, and what is said to be damaged."""
    cells = {m.cell.key: (m, m.load_rows()) for m in study.measured}
    rest = {name: getattr(study, name) for name in study.__dataclass_fields__ if name not in ("measured", "damaged")}
    return {"cells": cells, **rest}, [str(damage) for damage in study.damaged]


class Folder:
    """A store in which one file at a time is damaged and put back."""

    def __init__(self, root: Path):
        self.root = root
        self.files = sorted(path for path in root.rglob("*") if path.is_file() and path.name != ".lock")
        self.whole = shown(load_study(root))[0]
        self.analysed = set()

    def outcome(self, damage: "Damage") -> str:
        """harmless | found; anything else raises."""
        before = {path: path.read_bytes() for path in damage(self.files)}
        try:
            study = load_study(self.root)
            found, named = shown(study)
            if found != self.whole:
                self.analyse(study, found, named)
        except ConfigError as error:
            assert "damaged" in str(error) or "newer harness" in str(error)
            return "found"
        finally:
            for path, data in before.items():
                path.write_bytes(data)
        if found == self.whole:
            return "harmless"
        assert named and (self.is_part(found) or any("sweep.json" in line for line in named)), "undetected"
        return "found"

    def analyse(self, study: Study, found: dict, named: list[str]) -> None:
        """Analyse what is left; only once where whole cells or files are left out and the rest is as it was."""
        left_out = tuple(line.partition(" ")[0] for line in named)
        if self.is_part(found):
            if left_out in self.analysed:
                return
            self.analysed.add(left_out)
        findings = analyse(study)
        release_notes(findings, fill(findings))

    def is_part(self, found: dict) -> bool:
        cells = found["cells"].items()
        others = (name for name in found if name not in ("cells", "missing", "failures", "spent"))
        return all(self.whole["cells"].get(k) == cell for k, cell in cells) and all(
            found[name] == self.whole[name] for name in others
        )


class Damage:
    """One damage, made of numbers alone so that it can be printed, repeated and shrunk."""

    def __init__(self, kind: str, file: int, at: int, other: int):
        self.kind, self.file, self.at, self.other = kind, file, at, other

    def __repr__(self) -> str:
        return f"Damage({self.kind!r}, {self.file}, {self.at}, {self.other})"

    def __call__(self, files: list[Path]):
        """Yield each file before it is changed."""
        path = files[self.file % len(files)]
        yield path
        data = path.read_bytes()
        if self.kind == "swap":
            other = files[self.other % len(files)]
            yield other
            path.write_bytes(other.read_bytes())
            other.write_bytes(data)
        else:
            path.write_bytes(self.changed(data, path.name))

    def changed(self, data: bytes, name: str) -> bytes:
        place = self.at % max(1, len(data))
        if self.kind == "flip":
            return data[:place] + bytes([data[place] ^ (1 << self.other % 8)]) + data[place + 1 :]
        if self.kind == "cut":
            return data[:place]
        if self.kind == "zero":
            length = 1 + self.other % len(data)
            return (data[:place] + bytes(length) + data[place + length :])[: len(data)]
        text = gzip.decompress(data).decode() if name.endswith(".gz") else data.decode()
        value = [json.loads(line) for line in text.splitlines() if line] if ".jsonl" in name else json.loads(text)
        self.edit(value)
        text = "".join(json.dumps(row) + "\n" for row in value) if ".jsonl" in name else json.dumps(value, indent=1)
        return gzip.compress(text.encode()) if name.endswith(".gz") else text.encode()

    def edit(self, value) -> None:
        """Change one leaf, or drop one key or item, wherever it is."""
        places = list(_places(value, leaves=self.kind == "leaf"))
        inside, key = places[self.at % len(places)]
        if self.kind == "drop":
            del inside[key]
        elif isinstance(inside[key], float) and self.other % 3 == 0:
            inside[key] *= 0.5
        else:
            inside[key] = OTHER[self.other % len(OTHER)]


def _places(value, leaves: bool):
    for key, item in list(value.items() if isinstance(value, dict) else enumerate(value)):
        if isinstance(item, dict | list) and item:
            yield from _places(item, leaves)
            if not leaves:
                yield value, key
        else:
            yield value, key


KINDS = ("flip", "cut", "zero", "swap", "leaf", "drop", "type")
NUMBERS = st.integers(0, 1 << 20)
damages = st.builds(Damage, st.sampled_from(KINDS), NUMBERS, NUMBERS, NUMBERS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return Folder(write_store(tmp_path_factory.mktemp("fuzz") / "store", schema=2))


@pytest.fixture(scope="module")
def older(tmp_path_factory):
    return Folder(write_store(tmp_path_factory.mktemp("fuzz") / "older", schema=1))


@examples(50)
@given(damages)
def test_any_damage_is_found_or_harmless(folder, damage):
    assert folder.outcome(damage) in ("harmless", "found")


@examples(40)
@given(damages)
def test_a_damaged_store_without_digests_ends_in_no_traceback(older, damage):
    """Without digests a plausible other value cannot be told from the one that was measured."""
    try:
        older.outcome(damage)
    except AssertionError as error:
        assert "undetected" in str(error)


@examples(15)
@given(damages)
def test_what_is_set_aside_is_gone_and_the_rest_is_as_before(folder, damage):
    with tempfile.TemporaryDirectory(dir=folder.root.parent) as copy:
        root = shutil.copytree(folder.root, Path(copy) / "store", copy_function=os.link)
        check_set_aside(root, folder, damage)


def check_set_aside(root: Path, folder: Folder, damage: Damage) -> None:
    for path in damage([root / path.relative_to(folder.root) for path in folder.files]):
        data = path.read_bytes()
        path.unlink()  # the link, not the file of `folder`
        path.write_bytes(data)
    fingerprints = [m.cell.fingerprint for m, _ in folder.whole["cells"].values()]
    store = Store(root)
    try:
        store.survey(fingerprints)
    except NewerSchema:  # the number of the schema is what was damaged: refused by name, and nothing is moved
        return
    lost = [one for one in fingerprints if one not in store]
    moved = store.set_aside()
    assert sorted(d.path for d in store.damages if d.path != "sweep.json") == sorted(d.path for d in moved)
    again = Store(root)
    again.survey(fingerprints)
    assert {damage.path for damage in again.damages} <= {"sweep.json"}
    assert [one for one in fingerprints if one not in again] == lost
