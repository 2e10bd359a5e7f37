"""The documentation: its commands exist and compose, its reference pages are those of the code, its site builds."""

import re
import shlex
from pathlib import Path

import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config

from docs.generators import pages
from docs.generators.examples import HOPPER, SIMULATED, without_paths
from harness.cli import COMMANDS
from harness.rehearse import rehearsal
from harness.sweeps.compose import compose_sweep

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PLACEHOLDERS = {
    **dict.fromkeys((f"+sweep={name}" for name in ("NAME", "mine", "meta_llama_3_1_8b_instruct")), "+sweep=quickstart"),
    "KEY=VALUE": "seed=1",
}


def commands(text: str) -> list[list[str]]:
    """The words of each command in an indented block: `harness ...`, its comment removed, continued lines joined."""
    joined = re.sub(r"\\\n\s+", "", text)
    lines = re.findall(r"^    (harness .+)$", joined, re.MULTILINE)
    return [shlex.split(line, comments=True)[1:] for line in lines]


EVERY = [(page.name, words) for page in PAGES for words in commands(page.read_text())]


def test_there_are_commands_to_check() -> None:
    assert len(EVERY) > 40


@pytest.mark.parametrize(("page", "words"), EVERY, ids=[f"{page}: {' '.join(words)[:60]}" for page, words in EVERY])
def test_a_command_of_the_documentation_exists(page: str, words: list[str]) -> None:
    first, *rest = words
    if first.startswith("-"):
        assert first in ("--help", "--version")
    elif not first.startswith("+"):
        assert first in {command.name for command in COMMANDS} | {"COMMAND"}
        words = rehearsal(rest) if first == "rehearse" and rest else []
    overrides = [PLACEHOLDERS.get(word, word) for word in words if word != "..." and not word.startswith("[")]
    flag = next((index for index, word in enumerate(overrides) if word.startswith("-")), len(overrides))
    if overrides[:flag]:
        compose_sweep(overrides[:flag])


@pytest.mark.parametrize("name", pages())
def test_a_reference_page_is_that_of_the_code(name: str) -> None:
    assert (ROOT / "docs" / "reference" / name).read_text() == pages()[name], "run python -m docs.generators"


def test_the_site_builds_without_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    build(load_config("mkdocs.yml", site_dir=str(tmp_path), strict=True))
    page = (tmp_path / "quickstart" / "index.html").read_text()
    assert "make quickstart" in page
    assert not re.search(r"(?:src|href)=\"https?://(?!github)[^\"]+\\.(?:js|css|woff2?)", page)


def test_the_readme_is_short_and_its_pictures_are_small() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(text.split()) <= 900
    pictures = [ROOT / path for path in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text)]
    assert len(pictures) == 2 and sum(path.stat().st_size for path in pictures) <= 300_000
    png = pictures[0].read_bytes()
    assert png.startswith(b"\x89PNG") and int.from_bytes(png[16:20], "big") == 1280, "a first screen of that width"


def test_the_example_study_is_simulated_and_linked(tmp_path: Path) -> None:
    config = compose_sweep(rehearsal(list(SIMULATED[1:])))
    assert config.engine.kind == "simulated" and config.name == HOPPER and config.model == "pocket:tokenizer"
    linked = re.findall(r'href="([^"]+)/index.html"', (ROOT / "docs/examples.md").read_text())
    assert linked == [HOPPER, "compare"]
    (tmp_path / "page.html").write_text("<code>/opt/venv/bin/python -m x /tmp/abc/results</code>")
    without_paths(tmp_path, ["/tmp/abc", "/opt/venv/bin/"])
    assert (tmp_path / "page.html").read_text() == "<code>python -m x ./results</code>"
