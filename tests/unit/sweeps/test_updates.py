"""When report and MLflow are brought up to date while a sweep runs."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.analysis.to_come import SessionToCome, ToCome
from harness.errors import HarnessError
from harness.sweeps import sinks
from harness.sweeps.sinks import FIRST_S, SHARE, Updates, sessions_to_come


def run_with(pending: dict[str, int]) -> SimpleNamespace:
    """A run whose sessions have so many cells to measure, of two seconds each, after a start of two."""
    sessions = [SimpleNamespace(name=name) for name in pending]
    return SimpleNamespace(
        plan=SimpleNamespace(sessions=sessions),
        pending=lambda session: ["cell"] * pending[session.name],
        estimates=SimpleNamespace(of_session=lambda name: 2.0 + 2.0 * pending[name]),
        progress=SimpleNamespace(say=lambda line: None),
    )


def config(live: bool = True) -> SimpleNamespace:
    return SimpleNamespace(report=SimpleNamespace(live=live))


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[ToCome]:
    """What updates were made of; each takes ten seconds."""
    found: list[ToCome] = []

    def update(self: Updates, run: object, coming: ToCome) -> list[str]:
        found.append(coming)
        self.clock.now += 10.0
        return []

    monkeypatch.setattr(sinks.Updates, "_update", update)
    return found


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_an_update_waits_until_it_is_a_twentieth_of_the_time_since_the_last(made: list[ToCome]) -> None:
    clock, run = Clock(), run_with({"bf16": 0, "fp8": 3})
    updates = Updates(config(), Path("out"), clock)
    for now_s, count in ((SHARE * FIRST_S - 1, 0), (SHARE * FIRST_S, 1), (260.0, 1), (275.0, 2)):
        clock.now = now_s
        updates.after_session(run)
        assert len(made) == count, now_s
    assert made[0].sessions == (SessionToCome("fp8", 3, 8.0),) and (made[0].cells, made[0].seconds) == (3, 8.0)


def test_there_is_none_where_it_is_switched_off_or_nothing_is_to_come(made: list[ToCome]) -> None:
    for live, pending in ((False, {"bf16": 0, "fp8": 3}), (True, {"bf16": 0, "fp8": 0})):
        clock = Clock()
        updates = Updates(config(live), Path("out"), clock)
        clock.now = 1e6
        updates.after_session(run_with(pending))
    assert made == []


def test_sessions_to_come_are_in_the_order_of_the_plan() -> None:
    assert [session.name for session in sessions_to_come(run_with({"gemm": 1, "bf16": 0, "fp8": 2}))] == ["gemm", "fp8"]


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (OSError("no such folder"), "no such folder"),
        (ValueError(), "ValueError"),
        (MemoryError("large"), "large"),
        (HarnessError("MLflow at http://host did not take the study\nTo log them once it answers: ..."),
         "MLflow at http://host did not take the study"),
    ],
)  # fmt: skip
def test_a_failed_update_is_one_line(monkeypatch: pytest.MonkeyPatch, error: Exception, why: str) -> None:
    def failing(_root: Path) -> None:
        raise error

    monkeypatch.setattr("harness.analysis.load_study.load_study", failing)
    said: list[str] = []
    run = run_with({"fp8": 1})
    run.store, run.progress = SimpleNamespace(root=Path("store")), SimpleNamespace(say=said.append)
    settings = config()
    settings.mlflow = None
    clock = Clock()
    updates = Updates(settings, Path("out"), clock)
    clock.now = 1e6
    updates.after_session(run)
    assert said == [f"report or MLflow not updated, the sweep goes on: {why}"]


def test_ctrl_c_in_an_update_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_root: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("harness.analysis.load_study.load_study", interrupted)
    run = run_with({"fp8": 1})
    run.store = SimpleNamespace(root=Path("store"))
    settings = config()
    settings.mlflow = None
    clock = Clock()
    updates = Updates(settings, Path("out"), clock)
    clock.now = 1e6
    with pytest.raises(KeyboardInterrupt):
        updates.after_session(run)
