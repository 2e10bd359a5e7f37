"""Names of sweeps, variants, suites and scenarios: what cannot be a file's name is refused before anything starts."""

import re

import pytest

from harness.errors import ConfigError
from harness.records.cell_files import slug
from harness.records.store import Store
from harness.sweeps.composing import compose
from harness.sweeps.composing.compose import compose_sweep
from harness.untrusted.names import file_name, folder_for, name_problem

BAD = [
    *("..", ".", "", "/etc", "a/b", "a\\b", "a\0b", "a\nb", "x\n", "-rf", "--out", ".hidden", "end.", "a b", "a:b"),
    *("CON", "con", "nul.txt", "Aux", "COM1", "lpt9.md", "com¹", "a" * 201, "é" * 101, "\ud800", "a\u202eb", "*", "~"),
]
GOOD = ["quickstart", "vllm-0.32.1", "Modell_ä", "模型", "console", "com10", "a" * 200, "é" * 100]


@pytest.mark.parametrize("name", BAD)
def test_a_name_that_cannot_be_a_folder_is_refused(name):
    assert name_problem(name)


@pytest.mark.parametrize("name", GOOD)
def test_an_ordinary_name_is_taken(name):
    assert name_problem(name) is None


@pytest.mark.parametrize("name", ["'..'", "'.'", "'/tmp/x'", "nul.txt", "'-x'", "a" * 300])
def test_a_sweep_of_such_a_name_is_refused(name):
    with pytest.raises(ConfigError, match=r"^name=.*names a folder under results/"):
        compose_sweep(["+sweep=quickstart", f"name={name}"])


@pytest.mark.parametrize("group", ["scenarios", "variants", "suites"])
def test_a_variant_or_scenario_of_such_a_name_is_refused(group):
    config = compose_sweep(["+sweep=quickstart"])
    getattr(config, group)["con"] = next(iter(getattr(config, group).values()))
    with pytest.raises(ConfigError, match=rf"^{group}: name='con' names files of the store"):
        compose.check(config)


@pytest.mark.parametrize(
    "text", ["../../etc/passwd", "..", "", "-rf", "CON", "nul.txt", "a\0b", "x" * 999, "\ud800é" * 99]
)
def test_a_text_from_outside_becomes_a_safe_part_of_a_file_name(text):
    made = file_name(text)
    assert name_problem(made) is None and len(made.encode()) <= 90


def test_long_keys_become_file_names_that_differ():
    one, two = slug("a" * 400 + "/x"), slug("a" * 400 + "/y")
    assert one != two and max(len(one), len(two)) <= 150
    assert slug("bf16/chat_512_256") == "bf16--chat_512_256", "the folders of older stores stay as they are"


def test_a_link_out_of_the_reports_is_not_followed(tmp_path):
    (tmp_path / "victim").mkdir()
    reports = tmp_path / "reports"
    reports.mkdir()
    (reports / "x").symlink_to(tmp_path / "victim")
    with pytest.raises(ConfigError, match=r"symbolic link.*--out .*victim"):
        folder_for(reports, "x", "give --out {}")
    assert folder_for(reports, "y", "") == reports / "y"


@pytest.mark.parametrize("inside", ["logs/harness.log", ".lock", "cells", "failures", "spent.jsonl", "sweep.json"])
def test_a_store_with_a_link_is_not_written_to(tmp_path, inside):
    victim, root = tmp_path / "victim", tmp_path / "store"
    victim.write_text("mine")
    (root / inside).parent.mkdir(parents=True)
    (root / inside).symlink_to(victim)
    with pytest.raises(ConfigError, match=re.escape(f"{root / inside} is a symbolic link")), Store(root).locked():
        pass
    assert victim.read_text() == "mine"
