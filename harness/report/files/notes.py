"""release_notes.md in GitHub's Markdown: the conclusion, the variants at a glance, a chart; the rest is folded away."""

import re

from harness.analysis import Findings
from harness.report.blocks import (
    Answer,
    Block,
    Command,
    Drawing,
    FiguresBlock,
    FirstScreen,
    Heading,
    NotMeasured,
    TableBlock,
)
from harness.report.files.markdown import code_fence, markdown, markdown_table
from harness.report.recommendation import conclusion
from harness.report.sections import Filled
from harness.report.words import BRACKETS


def release_notes(findings: Findings, sections: tuple[Filled, ...], pictures: bool = True) -> str:
    """`pictures`: with links to the SVG files beside the notes; without them the notes are one file."""
    study, found = findings.study, conclusion(findings)
    parts = [f"# {markdown(study.name)}"]
    if found:
        parts += [f"**{markdown(found.headline)}**", code_fence(found.command) if found.command else ""]
    parts += [
        markdown(study.description),
        "\n".join(f"> **{mark.word}** {markdown(mark.reason)}\\" for mark in findings.marks),
    ]
    parts += [_section(section, pictures) for section in sections]
    return "\n\n".join(part.rstrip("\\") for part in parts if part) + "\n"


def _section(section: Filled, pictures: bool) -> str:
    """Folded away, all but the first screen; empty where nothing of it is for the notes."""
    first = [block for block in section.in_notes if isinstance(block, FirstScreen)]
    if first:
        return "\n\n".join(_first(block, pictures) for block in first)
    parts = [text for block in section.in_notes if (text := _written(block, section.title, pictures))]
    if not parts:
        return ""
    return "\n\n".join([f"<details><summary>{markdown(section.title)}</summary>", *parts, "</details>"])


def _first(block: FirstScreen, pictures: bool) -> str:
    parts = [f"{markdown_table(block.table, note=False)}\n\n{BRACKETS}"] if block.table.rows else []
    parts += [_picture(block.drawing)] if pictures and block.drawing and block.drawing.path else []
    return "\n\n".join(parts)


def _written(block: Block, title: str, pictures: bool) -> str:
    match block:
        case TableBlock(table=table, level=level) if table.rows:
            heading = f"{'#' * level} {markdown(table.title)}\n\n" if table.title != title else ""
            return heading + markdown_table(table, note=False)
        case FiguresBlock(drawings=drawings) if pictures:
            return "\n".join(_picture(drawing) for drawing in drawings if drawing.path)
        case Heading(text=text, level=level) if text != title:
            return f"{'#' * level} {markdown(text)}"
        case Answer():
            return _answer(block)
        case NotMeasured(cells=cells) if cells:
            return "\n".join(["## Not measured\n", *(f"- {markdown(cell.title)}" for cell in cells)])
        case Command(command=command):
            return f"## Reproduce\n\n{code_fence(command)}"
    return ""


def _answer(answer: Answer) -> str:
    evidence = answer.conclusion.evidence if answer.conclusion else ()
    said = "\n".join(f"- {markdown(verdict.bare)}" for verdict in answer.verdicts)
    parts = ["\n".join(f"- {markdown(sentence)}" for sentence in evidence), markdown(" ".join(answer.remarks))]
    parts.append(said or f"No variant is compared with {markdown(answer.baseline)}.")
    return "\n\n".join(part for part in parts if part)


def _picture(drawing: Drawing) -> str:
    told = re.sub(r"(?<!\\)([\[\]])", r"\\\1", markdown(drawing.figure.summary))
    return f"![{told}]({drawing.path})"
