"""How the sessions of an interference test on one machine take turns: small files in a folder that all of them see."""

import time
from collections.abc import Callable
from pathlib import Path

from harness.errors import EngineError
from harness.machine.disk import write_atomically

POLL_S = 0.05
WAIT_S = 1800.0  # for a neighbour's engine: environments and checkpoints may have to be made first
ROUNDS = 6  # of each state: alone, beside load, beside accuracy
TURN_S = 6.0  # of one repeat, about, and of what neighbours send at once
IDLE, END = "idle", "end"


def test_s(start_s: float) -> float:
    """Return what a test takes, whose engines start at the same time in `start_s`."""
    return start_s + (3 + ROUNDS * 4.0) * TURN_S  # neighbours follow within half a turn, on average


class Turns:
    """`say` is for the measured session, `note` for its neighbours; each reads what the other side wrote."""

    def __init__(self, folder: Path, neighbours: int):
        self.folder, self.neighbours = folder, neighbours

    def say(self, state: str) -> None:
        """Tell the neighbours what to do, and wait until they do it. Raises EngineError where one never does."""
        write_atomically(self.folder / "turn", state)
        if state != END:
            self._await(lambda: all(self._noted(n) == state for n in range(self.neighbours)))

    def asked(self) -> str:
        return self._read("turn") or IDLE

    def note(self, number: int, state: str) -> None:
        write_atomically(self.folder / f"neighbour{number}", state)

    def _noted(self, number: int) -> str:
        return self._read(f"neighbour{number}")

    def _read(self, name: str) -> str:
        try:
            return (self.folder / name).read_text()
        except FileNotFoundError:
            return ""

    def _await(self, reached: Callable[[], bool]) -> None:
        deadline = time.monotonic() + WAIT_S
        while not reached():
            if time.monotonic() > deadline:
                raise EngineError(f"interference test: a neighbour did not follow within {WAIT_S:.0f} s")
            time.sleep(POLL_S)
