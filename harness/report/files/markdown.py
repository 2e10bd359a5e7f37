"""Text and tables as GitHub's Markdown, where nothing that comes from outside can become markup."""

import re
from html import escape

from harness.report.tables.table import Table, Td
from harness.untrusted.visible import visible

_SPECIAL = re.compile(r"([\\`*|~#]|\](?=[(\[:])|(?<!\w)_|_(?!\w))")

_BLOCK = re.compile(r"^[-+=](?=[ =-]|$)")  # a list, a rule or a heading


def markdown(text: str) -> str:
    """Text as text: without markup, links, mentions or HTML, on one line."""
    line = visible(" ".join(text.split()))
    return _BLOCK.sub(r"\\\g<0>", _SPECIAL.sub(r"\\\1", escape(line, quote=False)).replace("@", "&#64;"))


def code_fence(text: str, language: str = "") -> str:
    """A fenced block of one line, whose fence is longer than any run of backticks in it."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{' '.join(text.split())}\n{fence}"


def markdown_table(table: Table, note: bool = True) -> str:
    """`note`: with the table's note beneath, folded away."""
    lines = ["| " + " | ".join(markdown(name) for name, _ in table.heads) + " |"]
    lines.append("|" + "|".join("---:" if right else "---" for _, right in table.heads) + "|")
    for position, row in enumerate(table.rows):
        repeated = table.group if table.group is not None and not table.opens_block(position) else None
        cells = [markdown(td.text) if column == repeated else _cell(td) for column, td in enumerate(row)]
        lines.append("| " + " | ".join(cells) + " |")
    if table.note and note:
        lines += ["", "<details><summary>How to read this table</summary>", "", markdown(table.note), "", "</details>"]
    return "\n".join(lines)


def _cell(td: Td) -> str:
    text = f"**{markdown(td.text)}**" if td.tone == "best" else markdown(td.text)
    if td.note.startswith("["):  # an interval
        return f"{text} {markdown(td.note)}"
    return f"{text} ({markdown(td.note)})" if td.note else text
