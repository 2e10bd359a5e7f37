"""The documentation: its commands exist and compose, its reference pages are those of the code, its site builds."""

import base64
import re
import shlex
import tarfile
from pathlib import Path

import numpy as np
import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config

from docs.generators import pages
from docs.generators.examples import HOPPER, SIMULATED, without_paths
from docs.generators.slim import fewer_tokens
from harness.analysis.load_study import load_study
from harness.analysis.quality.texts import text_gap
from harness.cli import COMMANDS
from harness.records.item import TextWindow
from harness.rehearse import rehearsal
from harness.report.sections import SECTIONS
from harness.sweeps.composing.compose import compose_sweep

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


def test_the_page_of_the_report_names_its_sections_in_order() -> None:
    table = (ROOT / "docs/report.md").read_text().partition("## From top to bottom")[2].partition("\n## ")[0]
    assert re.findall(r"^\| \*\*(.+?)\*\* \|", table, re.M) == [section.title for section in SECTIONS]


def test_the_measured_example_is_small_and_names_no_folder_of_the_machine(tmp_path: Path) -> None:
    packed = ROOT / "docs/examples/quickstart.tar.xz"
    assert packed.stat().st_size <= 600_000
    with tarfile.open(packed) as archive:
        archive.extractall(tmp_path, filter="data")
    study = load_study(tmp_path / "quickstart")
    assert not study.damaged and not study.missing and not study.failures
    for file in (tmp_path / "quickstart").rglob("*.json"):
        assert not re.search(r"[\"' =](?:/home|/root|/tmp|/work|/usr)/", file.read_text()), file


def test_a_window_with_fewer_tokens_has_a_smaller_divergence_and_the_same_perplexity() -> None:
    base, own = window(1), window(2)
    whole = text_gap([(base, own)], [0])
    fewer = text_gap([tuple(TextWindow.from_json(fewer_tokens(one.to_json())) for one in (base, own))], [0])
    assert fewer.kl.value < whole.kl.value and fewer.covered < whole.covered
    assert (fewer.ratio, fewer.top1) == (whole.ratio, whole.top1)


def window(seed: int) -> TextWindow:
    """50 positions of a vocabulary of 40 tokens, the 20 likeliest of each."""
    random = np.random.default_rng(seed)
    logits = np.log(random.dirichlet(np.ones(40), 50)).astype("<f4")
    order = np.argsort(-logits, axis=1)[:, :20]
    actual = np.arange(50, dtype="<u4") % 40
    scored = np.take_along_axis(logits, actual[:, None].astype(int), 1)[:, 0]
    arrays = {"token_ids": actual, "token_logprobs": scored, "top_ids": order.astype("<u4")}
    arrays["top_logprobs"] = np.take_along_axis(logits, order, 1)
    text = {name: base64.b64encode(np.ascontiguousarray(array).tobytes()).decode() for name, array in arrays.items()}
    return TextWindow(id="w", tokens=50, logprob_sum=float(scored.sum()), top_k=20, **text)


def test_the_example_study_is_simulated_and_linked(tmp_path: Path) -> None:
    config = compose_sweep(rehearsal(list(SIMULATED[1:])))
    assert config.engine.kind == "simulated" and config.name == HOPPER and config.model == "pocket:tokenizer"
    linked = re.findall(r'href="([^"]+)/index.html"', (ROOT / "docs/examples.md").read_text())
    assert linked == ["quickstart", HOPPER, "compare"]
    (tmp_path / "page.html").write_text("<code>/opt/venv/bin/python -m x /tmp/abc/results</code>")
    without_paths(tmp_path, ["/tmp/abc", "/opt/venv/bin/"])
    assert (tmp_path / "page.html").read_text() == "<code>python -m x ./results</code>"
