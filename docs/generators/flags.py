"""The page of all flags."""

from docs.generators.markdown import table
from harness.report.flag_catalogue import FLAGS

HEAD = """\
# Flags

    harness report results/NAME     # the section "Validity" has each flag's message and cells

A flag travels with a cell's numbers. *note*: good to know. *caution*: read the number with care. *invalid*: the cell is
not compared with anything; the same command measures it again. Many flags have the level *invalid* above a limit and
*caution* below it; the message says the share.

"""


def page() -> str:
    """Return Markdown with one row for each flag, in alphabetical order."""
    rows = [(f"`{code}`", said.meaning, said.remedy or "nothing") for code, said in sorted(FLAGS.items())]
    return HEAD + table(("flag", "meaning", "what to do"), rows)
