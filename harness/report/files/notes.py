"""release_notes.md: the verdicts, charts and tables in GitHub's Markdown."""

import re

from harness.analysis import Findings
from harness.report.blocks import Answer, Block, Command, Drawing, FiguresBlock, Heading, NotMeasured, TableBlock
from harness.report.files.markdown import code_fence, markdown, markdown_table
from harness.report.sections import Filled


def release_notes(findings: Findings, sections: tuple[Filled, ...], pictures: bool = True) -> str:
    """`pictures`: with links to the SVG files beside the notes; without them the notes are one file."""
    study = findings.study
    parts = [f"# {markdown(study.name)}", markdown(study.description)]
    parts += [f"> **{mark.word}** {markdown(mark.reason)}" for mark in findings.marks]
    parts += [_written(block, pictures) for section in sections for block in section.in_notes]
    return "\n\n".join(part for part in parts if part) + "\n"


def _written(block: Block, pictures: bool) -> str:
    match block:
        case TableBlock(table=table, level=level) if table.rows:
            return f"{'#' * level} {markdown(table.title)}\n\n{markdown_table(table)}"
        case FiguresBlock(drawings=drawings) if pictures:
            return "\n".join(_picture(drawing) for drawing in drawings if drawing.path)
        case Heading(text=text, level=level):
            return f"{'#' * level} {markdown(text)}"
        case Answer():
            return _answer(block)
        case NotMeasured(cells=cells) if cells:
            return "\n".join(["## Not measured\n", *(f"- {markdown(cell.title)}" for cell in cells)])
        case Command(command=command):
            return f"## Repeat it\n\n{code_fence(command)}"
    return ""


def _answer(answer: Answer) -> str:
    said = "\n".join(f"- {markdown(verdict.bare)}" for verdict in answer.verdicts)
    parts = ["## Verdict"]
    if found := answer.conclusion:
        parts += [f"**{markdown(found.headline)}**", code_fence(found.command) if found.command else ""]
        parts.append("\n".join(f"- {markdown(sentence)}" for sentence in found.evidence))
    parts.append(markdown(" ".join(answer.remarks)))
    parts.append(said or f"No variant is compared with {markdown(answer.baseline)}.")
    return "\n\n".join(part for part in parts if part)


def _picture(drawing: Drawing) -> str:
    told = re.sub(r"(?<!\\)([\[\]])", r"\\\1", markdown(drawing.figure.summary))
    return f"![{told}]({drawing.path})"
