"""Sections of the report: declared once, they appear in the page, its navigation and the release notes."""

from dataclasses import replace

import pytest

from harness.report import write_report
from harness.report.blocks import shown
from harness.report.sections import SECTIONS, Section
from harness.report.tables.table import table
from tests.unit.report.synthetic_study import synthetic_study


def checkpoints_by_size(findings):
    rows = [[v.label, str(v.checkpoint_bytes)] for v in findings.study.variants.values()]
    return table("Checkpoints by size", ["Variant", ">Bytes"], rows)


ADDED = Section("sizes", "Sizes of checkpoints", (shown(checkpoints_by_size),))


@pytest.fixture(scope="module")
def study():
    return synthetic_study()


def written(study, folder, *sections):
    write_report(study, folder, sections=sections)
    return (folder / "index.html").read_text("utf-8"), (folder / "release_notes.md").read_text("utf-8")


def test_an_added_section_is_in_the_page_its_navigation_and_the_notes(study, tmp_path):
    page, notes = written(study, tmp_path, *SECTIONS, ADDED)
    assert '<a href="#sizes">Sizes of checkpoints</a></nav>' in page.replace("\n", "")
    assert '<section id="sizes" aria-labelledby="h-sizes">' in page
    assert "<caption>Checkpoints by size</caption>" in page
    assert notes.rstrip().endswith("| INT4 W4A16 | 118000000 |\n\n</details>") and "## Checkpoints by size" in notes


def test_a_table_added_to_a_section_is_in_the_page_and_the_notes(study, tmp_path):
    sections = [replace(s, blocks=(*s.blocks, shown(checkpoints_by_size))) if s.id == "cost" else s for s in SECTIONS]
    page, notes = written(study, tmp_path, *sections)
    assert '<a href="#cost">Cost</a>' in page, "the section had nothing to show before"
    assert page.index("Checkpoints by size") > page.index('<section id="cost"')
    assert notes.index("## Checkpoints by size") < notes.index("## Flags")


def test_a_section_whose_condition_does_not_hold_or_that_is_empty_is_nowhere(study, tmp_path):
    refused = replace(ADDED, condition=lambda findings: False)
    empty = Section("empty", "Nothing", (shown(lambda findings: table("Empty", ["Variant"], [])),))
    page, notes = written(study, tmp_path, *SECTIONS, refused, empty)
    assert 'href="#sizes"' not in page and 'id="sizes"' not in page and "Checkpoints by size" not in notes
    assert 'href="#empty"' not in page and 'id="empty"' not in page and "## Empty" not in notes


def test_every_link_of_the_navigation_leads_to_a_section_in_the_same_order(study, tmp_path):
    page, _ = written(study, tmp_path, *SECTIONS)
    navigation = page.partition("<nav")[2].partition("</nav>")[0]
    linked = [part.partition('"')[0] for part in navigation.split('<a href="#')[1:]]
    first, *others = [part.partition('"')[0] for part in page.split('<section id="')[1:]]
    assert (first, others) == ("recommendation", linked)
    caveats = page.partition("<nav")[0].split('<li><a href="#')[1:]
    assert {part.partition('"')[0] for part in caveats} <= set(linked)
    assert len({section.id for section in SECTIONS}) == len(SECTIONS)
