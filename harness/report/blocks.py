"""What a section of the report is made of: blocks, which the page and the release notes each write in their way.

The page writes a block by the macro of its `kind` (pages/blocks.html), the notes by `files/notes.py`. A section has a
tuple of makers, functions from the findings to blocks; `shown(TABLE_FUNCTION)` is the maker of one table.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import ClassVar

from harness.analysis import Findings, Study
from harness.analysis.study import Cell
from harness.report.figures.figures import Figure
from harness.report.recommendation import Conclusion
from harness.report.tables.table import Table
from harness.report.verdicts import Verdict


@dataclass(frozen=True, kw_only=True)
class Block:
    """`page`, `notes`: which of the two shows it. `inline`: no line break follows it in the source of the page."""

    kind: ClassVar[str]
    page: bool = True
    notes: bool = True
    inline: bool = False


@dataclass(frozen=True)
class TableBlock(Block):
    """`quiet`: the page hides the caption, which the section's heading repeats. `level`: of its heading in Markdown."""

    kind = "table"
    table: Table
    quiet: bool = False
    level: int = 2


@dataclass(frozen=True)
class Drawing:
    """A figure. `chart`: the name of its SVG file beside the release notes; `chart_title`: its title there."""

    figure: Figure
    chart: str | None = None
    chart_title: str | None = None

    @property
    def path(self) -> str | None:
        """The path of its file from the release notes; None where it has none, or nothing to show."""
        return f"charts/{self.chart}.svg" if self.chart and self.figure.spec["data"] else None


@dataclass(frozen=True)
class FiguresBlock(Block):
    """`grid`: the classes of their grid on the page; "": one figure alone."""

    kind = "figures"
    drawings: tuple[Drawing, ...]
    grid: str = "grid"


@dataclass(frozen=True)
class Legend(Block):
    """Buttons that hide and show a variant in the figures; `labels` by variant."""

    kind = "legend"
    labels: dict[str, str]
    notes: bool = field(default=False, kw_only=True)


@dataclass(frozen=True)
class Heading(Block):
    kind = "heading"
    text: str
    level: int = 3


@dataclass(frozen=True)
class Text(Block):
    """A paragraph of the page; `tone`: note | muted | ""."""

    kind = "text"
    text: str
    tone: str = ""
    notes: bool = field(default=False, kw_only=True)


@dataclass(frozen=True)
class HowToRead(Block):
    """What the marks of the figures below mean; folded away."""

    kind = "how"
    text: str
    notes: bool = field(default=False, kw_only=True)


@dataclass(frozen=True)
class Details(Block):
    """Tables that the page folds away beneath their summary."""

    kind = "details"
    summary: str
    tables: tuple[TableBlock, ...]
    notes: bool = field(default=False, kw_only=True)


@dataclass(frozen=True)
class Caveat:
    """What limits all numbers of the study, in a line; `section`: the id of the section that has more of it."""

    word: str
    reason: str
    section: str


@dataclass(frozen=True)
class FirstScreen(Block):
    """The conclusion, the variants at a glance, one picture and the caveats: what is read before anything else."""

    kind = "first_screen"
    conclusion: Conclusion | None
    table: Table
    drawing: Drawing | None
    caveats: tuple[Caveat, ...]


@dataclass(frozen=True)
class Answer(Block):
    """The conclusion, for the notes, and what is said of each variant; `baseline`: its label; `remarks`: of all."""

    kind = "answer"
    conclusion: Conclusion | None
    verdicts: tuple[Verdict, ...]
    baseline: str
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class NotMeasured(Block):
    kind = "not_measured"
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Command(Block):
    kind = "command"
    command: str


@dataclass(frozen=True)
class Configuration(Block):
    kind = "configuration"
    text: str
    notes: bool = field(default=False, kw_only=True)


Maker = Callable[[Findings], Iterable[Block]]


def shown(make: Callable[[Findings], Table], quiet: bool = False, always: bool = False) -> Maker:
    """The maker of a table, which is shown where it has rows; `always`: the page shows it without rows too."""

    def made(findings: Findings) -> Iterator[Block]:
        table = make(findings)
        if table.rows or always:
            yield TableBlock(table, quiet=quiet, inline=not always)

    return made


def on_page(make: Maker) -> Maker:
    return lambda findings: (replace(block, notes=False) for block in make(findings))


def in_notes(make: Maker) -> Maker:
    return lambda findings: (replace(block, page=False) for block in make(findings))


def legend(study: Study) -> Legend:
    return Legend({name: variant.label for name, variant in study.variants.items()})
