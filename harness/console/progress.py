"""What a person sees while a sweep runs: a live display on a terminal, plain lines elsewhere."""

import sys
import time
from typing import Protocol, TextIO

from harness.console.output import MaskedStream
from harness.console.terminal import console
from harness.redaction.masking import mask
from harness.untrusted.visible import one_entry, visible


class Progress(Protocol):
    def say(self, message: str) -> None: ...
    def start(self, total_cells: int, estimate_s: float, width: float = 1.0) -> None: ...
    def add(self, cells: int, estimate_s: float) -> None: ...
    def cell(self, key: str, estimate_s: float) -> None: ...
    def advance(self, done: int, total: int) -> None: ...
    def cell_done(self, key: str, outcome: str, seconds: float) -> None: ...
    def stop(self) -> None: ...


def duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


class Remaining:
    """Time left: what is left of the estimate, scaled by how true it was for the cells so far."""

    def __init__(self, estimate_s: float, width: float = 1.0):
        self.estimate_s, self.expected_s, self.spent_s = estimate_s, 0.0, 0.0
        self.width = width  # cells that are measured at once, on average

    def finished(self, expected_s: float, spent_s: float) -> None:
        self.expected_s += expected_s
        self.spent_s += spent_s

    def seconds(self) -> float:
        scale = self.spent_s / self.expected_s if self.expected_s > 10 else 1.0
        return max(0.0, self.estimate_s - self.expected_s) * min(max(scale, 0.2), 5.0) / self.width


class PlainProgress:
    """One line an event, with the time since the start."""

    def __init__(self, stream: TextIO | None = None):
        self.stream = stream or sys.stderr
        self.begin = time.monotonic()
        self.total = self.number = 0
        self.remaining = Remaining(0.0)
        self.estimate_s = 0.0

    def say(self, message: str) -> None:
        print(
            f"[{duration(time.monotonic() - self.begin):>7}] {mask(one_entry(message))}", file=self.stream, flush=True
        )

    def start(self, total_cells: int, estimate_s: float, width: float = 1.0) -> None:
        """`estimate_s`: of all cells, one after the other; `width`: how many are measured at once, on average."""
        self.total, self.remaining = total_cells, Remaining(estimate_s, width)
        self.say(f"{total_cells} cells to measure, about {duration(estimate_s / width)}")

    def add(self, cells: int, estimate_s: float) -> None:
        """Count cells, and their seconds, that became necessary after the start."""
        self.total += cells
        self.remaining.estimate_s += estimate_s

    def cell(self, key: str, estimate_s: float) -> None:
        self.estimate_s = estimate_s

    def advance(self, done: int, total: int) -> None:
        return None

    def cell_done(self, key: str, outcome: str, seconds: float) -> None:
        self.number += 1
        self.remaining.finished(self.estimate_s, seconds)
        left = f", {duration(self.remaining.seconds())} left" if self.number < self.total else ""
        self.say(f"{self.number}/{self.total} {key}: {outcome} in {seconds:.1f} s{left}")

    def stop(self) -> None:
        return None


class RichProgress(PlainProgress):
    """The sweep, the current cell and the time left. Redrawn twice a second: the load client needs the CPU."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        super().__init__()
        columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), "{task.fields[left]}")
        made = [TextColumn(column, markup=False) if isinstance(column, str) else column for column in columns]
        self.display = Progress(*made, console=console(), refresh_per_second=2, transient=True)
        self.sweep = self.current = None

    def say(self, message: str) -> None:
        stamp = duration(time.monotonic() - self.begin)
        self.display.console.print(f"[{stamp:>7}] {mask(one_entry(message))}", highlight=False)

    def start(self, total_cells: int, estimate_s: float, width: float = 1.0) -> None:
        from rich.file_proxy import FileProxy

        super().start(total_cells, estimate_s, width)
        self.display.start()
        if isinstance(sys.stdout, FileProxy):  # what is printed meanwhile goes above the bars, by rich's own stream
            sys.stdout, sys.stderr = MaskedStream(sys.stdout), MaskedStream(sys.stderr)
        self.sweep = self.display.add_task("sweep", total=total_cells, left="")
        self.current = self.display.add_task("", total=None, left="")

    def add(self, cells: int, estimate_s: float) -> None:
        super().add(cells, estimate_s)
        self.display.update(self.sweep, total=self.total)

    def cell(self, key: str, estimate_s: float) -> None:
        super().cell(key, estimate_s)
        self.display.reset(self.current, total=None, description=visible(key), left="")

    def advance(self, done: int, total: int) -> None:
        self.display.update(self.current, completed=done, total=total)

    def cell_done(self, key: str, outcome: str, seconds: float) -> None:
        super().cell_done(key, outcome, seconds)
        self.display.update(self.sweep, advance=1, left=f"{duration(self.remaining.seconds())} left")

    def stop(self) -> None:
        self.display.stop()


def make_progress(style: str) -> Progress:
    if style == "rich" or (style == "auto" and sys.stderr.isatty()):
        return RichProgress()
    return PlainProgress()
