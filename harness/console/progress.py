"""What a person sees while a sweep runs: a live display on a terminal, plain lines elsewhere."""

import sys
import time
from typing import Any, Protocol, TextIO

from harness.console.output import MaskedStream
from harness.console.terminal import console
from harness.redaction.masking import mask
from harness.untrusted.visible import one_entry, visible


class Progress(Protocol):
    """`session`: which of the sessions that run at once; empty where they run one after the other."""

    def say(self, message: str) -> None: ...
    def start(self, total_cells: int, estimate_s: float) -> None: ...
    def add(self, cells: int) -> None: ...
    def cell(self, key: str, session: str = "") -> None: ...
    def advance(self, done: int, total: int, session: str = "") -> None: ...
    def session_done(self, session: str) -> None: ...
    def cell_done(self, key: str, outcome: str, seconds: float, left_s: float) -> None: ...
    def stop(self) -> None: ...


def duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


class PlainProgress:
    """One line an event, with the time since the start."""

    def __init__(self, stream: TextIO | None = None):
        self.stream = stream or sys.stderr
        self.begin = time.monotonic()
        self.total = self.number = 0

    def say(self, message: str) -> None:
        print(
            f"[{duration(time.monotonic() - self.begin):>7}] {mask(one_entry(message))}", file=self.stream, flush=True
        )

    def start(self, total_cells: int, estimate_s: float) -> None:
        self.total = total_cells
        self.say(f"{total_cells} cells to measure, about {duration(estimate_s)}")

    def add(self, cells: int) -> None:
        """Count cells that became necessary after the start."""
        self.total += cells

    def cell(self, key: str, session: str = "") -> None:
        return None

    def advance(self, done: int, total: int, session: str = "") -> None:
        return None

    def session_done(self, session: str) -> None:
        return None

    def cell_done(self, key: str, outcome: str, seconds: float, left_s: float) -> None:
        self.number += 1
        left = f", {duration(left_s)} left" if self.number < self.total else ""
        self.say(f"{self.number}/{self.total} {key}: {outcome} in {seconds:.1f} s{left}")

    def stop(self) -> None:
        return None


class RichProgress(PlainProgress):
    """The sweep, the current cell of each session, and the time left.

    Redrawn twice a second: the load client needs the CPU.
    """

    def __init__(self) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        super().__init__()
        columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), "{task.fields[left]}")
        made = [TextColumn(column, markup=False) if isinstance(column, str) else column for column in columns]
        self.display = Progress(*made, console=console(), refresh_per_second=2, transient=True)
        self.sweep = None
        self.current: dict[str, Any] = {}  # session -> its bar

    def say(self, message: str) -> None:
        stamp = duration(time.monotonic() - self.begin)
        self.display.console.print(f"[{stamp:>7}] {mask(one_entry(message))}", highlight=False)

    def start(self, total_cells: int, estimate_s: float) -> None:
        from rich.file_proxy import FileProxy

        super().start(total_cells, estimate_s)
        self.display.start()
        if isinstance(sys.stdout, FileProxy):  # what is printed meanwhile goes above the bars, by rich's own stream
            sys.stdout, sys.stderr = MaskedStream(sys.stdout), MaskedStream(sys.stderr)
        self.sweep = self.display.add_task("sweep", total=total_cells, left="")

    def add(self, cells: int) -> None:
        super().add(cells)
        self.display.update(self.sweep, total=self.total)

    def cell(self, key: str, session: str = "") -> None:
        if session in self.current:
            self.display.reset(self.current[session], total=None, description=visible(key), left="")
        else:
            self.current[session] = self.display.add_task(visible(key), total=None, left="")

    def advance(self, done: int, total: int, session: str = "") -> None:
        if session in self.current:
            self.display.update(self.current[session], completed=done, total=total)

    def session_done(self, session: str) -> None:
        if session in self.current:
            self.display.remove_task(self.current.pop(session))

    def cell_done(self, key: str, outcome: str, seconds: float, left_s: float) -> None:
        super().cell_done(key, outcome, seconds, left_s)
        self.display.update(self.sweep, advance=1, left=f"{duration(left_s)} left")

    def stop(self) -> None:
        self.display.stop()


def make_progress(style: str) -> Progress:
    if style == "rich" or (style == "auto" and sys.stderr.isatty()):
        return RichProgress()
    return PlainProgress()
