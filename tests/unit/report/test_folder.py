"""Where a report is written, and what of it is removed: never what a foreign store says, never a file of the user's."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from harness.analysis.load_study import load_study
from harness.errors import ConfigError
from harness.records.manifest import Manifest
from harness.records.record import Record
from harness.records.store import Store
from harness.report import write_report
from harness.report.files.folder import LIST, write_files
from tests import commands
from tests.unit.report.synthetic_records import VARIANTS
from tests.unit.report.synthetic_study import SCENARIOS, parts

pytestmark = pytest.mark.slow

FEW = {name: VARIANTS[name] for name in ("bf16", "fp8")}


@pytest.fixture
def store(tmp_path):
    """A foreign store: its sweep.json and its variants have hostile names."""

    def made(name: str, folder: str = "store", scenarios=None) -> Path:
        manifest, records, rows = parts(variants=FEW, scenarios=scenarios or dict(list(SCENARIOS.items())[:1]))
        written = Store(tmp_path / folder)
        written.write_manifest(Manifest.from_json(manifest | {"name": name}))
        for record in records:
            written.write(Record.from_json(record), rows[record["cell"]["key"]])
        return written.root

    return made


def report(*arguments, cwd: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "harness.report", *map(str, arguments)]
    return commands.run(command, cwd=cwd)


def all_files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_the_name_in_a_store_decides_no_place(store, tmp_path):
    victim, here = tmp_path / "victim", tmp_path / "here"
    for name in ("charts/mine.svg", "model_cards/notes.md"):
        (victim / name).parent.mkdir(parents=True, exist_ok=True)
        (victim / name).write_text("mine")
    here.mkdir()
    before = all_files(victim)
    done = report(store("../../victim"), cwd=here)
    assert done.returncode == 0 and done.stdout.strip() == "reports/store/index.html", done.stderr
    assert all_files(victim) == before and (here / "reports/store/index.html").is_file()


@pytest.mark.parametrize("name", ["../x", "/abs", "..", "a\0b", "x" * 300, "-rf", "con"])
def test_a_study_has_the_name_of_its_folder(store, name):
    assert load_study(store(name)).name == "store"


@pytest.mark.parametrize("folder", ["nul", "my study (copy)", "-x", "a\u202eb"])
def test_a_folder_whose_name_cannot_be_a_reports_is_refused(store, tmp_path, folder):
    root = store("x", folder)
    done = report(f"./{root.name}", cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.startswith("error: folder name ") and "--out DIR" in done.stderr
    assert not (tmp_path / "reports").exists()
    assert report(f"./{root.name}", "--out", "asked", cwd=tmp_path).returncode == 0


def test_a_report_removes_what_it_made_and_nothing_else(store, tmp_path):
    out, few = tmp_path / "out", dict(list(SCENARIOS.items())[:1])
    write_report(load_study(store("x", "more", SCENARIOS)), out)
    charts = {path.name for path in (out / "charts").iterdir()}
    (out / "charts/mine.svg").write_text("mine")
    (out / "model_cards/notes.md").write_text("mine")
    (out / "notes.txt").write_text("mine")
    edited = next(path for path in sorted((out / "charts").glob("itl_*")) if next(iter(few)) not in path.name)
    edited.write_text("mine now")
    write_report(load_study(store("x", "less", few)), out)
    left = {path.name for path in (out / "charts").iterdir()}
    assert {"mine.svg", edited.name} <= left, "the user's own files, and those that the user has changed, stay"
    assert (out / "model_cards/notes.md").read_text() == (out / "notes.txt").read_text() == "mine"
    gone = {name for name in charts if name.startswith("itl_")} - {f"itl_{name}.svg" for name in few} - {edited.name}
    assert gone and not gone & left, "charts of scenarios that are no longer there"


def test_a_hostile_list_removes_nothing_outside_and_nothing_that_the_report_did_not_write(tmp_path):
    out, victim = tmp_path / "out", tmp_path / "victim"
    victim.mkdir()
    (victim / "a.svg").write_text("mine")
    write_files(out, {"charts/a.svg": "mine", "old.txt": "mine"})
    (out / "linked").symlink_to(victim)
    digest = json.loads((out / LIST).read_text())["old.txt"]
    names = [
        "../victim/a.svg",
        str(victim / "a.svg"),
        "linked/a.svg",
        "charts/../../victim/a.svg",
        "charts/\0",
        "..",
        "",
    ]
    (out / LIST).write_text(json.dumps(dict.fromkeys(names, digest) | {"old.txt": digest, "index.html": 5}))
    write_files(out, {"charts/a.svg": "new"})
    assert (victim / "a.svg").read_text() == "mine" and not (out / "old.txt").exists()


@pytest.mark.parametrize("text", ["[" * 100_000, "[]", "5", "", "{", '{"a": NaN}'])
def test_a_damaged_list_is_an_empty_one(tmp_path, text):
    write_files(tmp_path, {"charts/a.svg": "x"})
    (tmp_path / LIST).write_text(text)
    write_files(tmp_path, {"charts/b.svg": "x"})
    assert all_files(tmp_path) == {"charts/a.svg", "charts/b.svg", LIST}


def test_links_inside_a_reports_folder_are_not_followed(tmp_path):
    out, victim = tmp_path / "out", tmp_path / "victim"
    (victim / "charts").mkdir(parents=True)
    (victim / "page").write_text("mine")
    out.mkdir()
    (out / "index.html").symlink_to(victim / "page")
    write_files(out, {"index.html": "page"})
    assert (victim / "page").read_text() == "mine" and not (out / "index.html").is_symlink()
    (out / "charts").symlink_to(victim / "charts")
    with pytest.raises(ConfigError, match="symbolic link"):
        write_files(out, {"index.html": "page", "charts/a.svg": "x"})
    assert all_files(victim) == {"page"}
