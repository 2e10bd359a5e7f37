"""What is read first: the page's first screen and the head of the release notes."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from harness.analysis import analyse
from harness.analysis.decision.pareto import PERPLEXITY, Quality, fronts
from harness.analysis.quality.accuracy import AverageRecovery
from harness.analysis.speed.speedups import Speedups
from harness.analysis.statistics.intervals import Estimate
from harness.analysis.validity import marks
from harness.report.files.notes import release_notes
from harness.report.pages.page import render_page
from harness.report.sections import fill
from harness.report.tables.glance import MOST, glance_table
from harness.report.verdicts import verdicts
from tests.unit.report.synthetic_records import VARIANTS
from tests.unit.report.synthetic_study import REPORT, build, parts

FIVE = VARIANTS | {"int8": VARIANTS["fp8"] | {"label": "INT8 W8A8"}}


class Words(HTMLParser):
    """The words of a page's prose from its title down to its first table or figure, without what is folded away."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.within: list[str] = []
        self.over = False

    def handle_starttag(self, tag, attributes):
        self.over = self.over or tag in ("table", "figure")
        if tag not in ("meta", "br", "path", "line", "wbr"):
            self.within.append(tag)

    def handle_endtag(self, tag):
        while self.within and self.within.pop() != tag:
            pass

    def handle_data(self, data):
        folded = "details" in self.within and "summary" not in self.within
        if not self.over and "body" in self.within and not folded:
            self.words += data.split()


@pytest.fixture(scope="module")
def study():
    """As the quickstart: five variants, four suites, three scenarios, three rates; one more suite is the judge's."""
    import tests.unit.report.synthetic_records as made

    with pytest.MonkeyPatch.context() as patch:
        for table, value in ((made.BYTES, 163_000_000), (made.SPEED, 1.4), (made.CAPACITY, 6.0), (made.LOST, 0.01)):
            patch.setitem(table, "int8", value)
        manifest, records, rows = parts(variants=FIVE)
    manifest["report"] = REPORT
    return build(manifest, records, rows)


@pytest.fixture(scope="module")
def found(study):
    return analyse(study)


@pytest.fixture(scope="module")
def page(found):
    return render_page(found, fill(found))


@pytest.fixture(scope="module")
def notes(found):
    return release_notes(found, fill(found))


def test_at_most_ninety_words_are_above_the_first_chart(page):
    reader = Words()
    reader.feed(page)
    assert 20 < len(reader.words) <= 90


def test_a_variant_has_at_most_six_numbers(found):
    assert len(glance_table(found).columns) - 1 <= MOST == 6


def test_notes_are_folded_away_and_closed(page):
    folded = re.findall(r'<details class="how"><summary>How to read [^<]+</summary><p class="note">', page)
    assert len(folded) > 5 and "<details open" not in page
    shown = re.sub(r'<details class="how">.*?</details>', "", page, flags=re.S)
    assert not [text for text in re.findall(r'<p class="note">(.*?)</p>', shown) if len(text) > 120]


def test_each_caveat_is_a_line_with_a_link_to_its_section(page, found):
    first = page[page.index('<section id="recommendation"') : page.index("<nav")]
    caveats = re.findall(r'<li><a href="#([a-z]+)"><b>', first)
    assert len(caveats) == len(found.marks) > 0
    assert all(f'<section id="{section}"' in page for section in caveats)


def test_one_run_is_said_once_and_not_in_cells(page):
    assert page.partition("<nav")[0].count("n = 1") == 1
    assert "n = 1" not in "".join(re.findall(r"<td.*?</td>", page, flags=re.S))


def test_the_notes_open_with_the_sentence_of_the_page(page, notes):
    answer = re.search(r'<p class="answer">(.*?)</p>', page)
    assert answer and notes.split("\n\n")[1] == f"**{answer[1]}**"


def test_the_headline_of_a_simulated_study_says_so():
    """It may be quoted without the caveat below it."""
    manifest, records, rows = parts()
    for record in records:
        record["engine"] = record["engine"] | {"kind": "simulated"}
    found = analyse(build(manifest, records, rows))
    page = render_page(found, fill(found))
    answer = re.search(r'<p class="answer">(.*?)</p>', page)
    assert answer and answer[1].startswith("SIMULATED: ") and answer[1].count("SIMULATED") == 1
    assert "<b>SIMULATED</b>" in page


def test_the_notes_are_short_and_fold_what_is_long(notes):
    assert len(notes.splitlines()) <= 250
    visible = re.sub(r"<details>.*?</details>", "", notes, flags=re.S)
    assert len(visible.splitlines()) <= 45 and "charts/pareto_" in visible
    assert notes.count("<details>") == notes.count("</details>") > 8


def test_the_first_chart_is_of_perplexity_where_accuracy_is_at_chance(found):
    guessing = AverageRecovery(None, (), None, "the baseline is at chance on mmlu", left_out=("mmlu",))
    ratios = {name: Estimate(1.02, 1.01, 1.03) for name in found.study.compared}
    kept = Quality(PERPLEXITY, ratios)
    fast = Speedups(Estimate(1.4, 1.3, 1.5), None, None)
    charts = fronts(found.study, kept, dict.fromkeys(found.study.compared, fast))
    guessed = replace(found, averages=dict.fromkeys(found.averages, guessing), fronts=charts)
    page = render_page(guessed, fill(guessed))
    caption = re.search(r"<figcaption>(.*?)</figcaption>", page)
    assert caption and caption[1].startswith("Perplexity against single-stream latency")


def test_a_baseline_at_chance_gives_no_percentage_of_its_accuracy(found):
    guessing = AverageRecovery(None, (), None, "the baseline is at chance on mmlu", left_out=("mmlu",))
    guessed = replace(found, averages=dict.fromkeys(found.averages, guessing))
    assert ">Accuracy recovery" in glance_table(found).columns
    assert ">Accuracy recovery" not in glance_table(guessed).columns, "a mark says why"
    [mark] = [m for m in marks(found.study, {}, {}, guessed.averages) if m.word == "UNINFORMATIVE"]
    assert mark.reason == "the baseline is at chance on mmlu: that suite does not distinguish variants"
    assert not [m for m in marks(found.study, {}, {}, found.averages) if m.word == "UNINFORMATIVE"]
    for verdict in verdicts(guessed):
        assert "%" not in verdict.headline and "accuracy" not in verdict.headline
        assert "The baseline is at chance on mmlu: the suite does not distinguish variants." in verdict.text
        assert "chance" not in verdict.bare
