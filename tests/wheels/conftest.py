"""The table of `make wheels`: wheel, GPU, check, result."""

import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
BEGAN = time.monotonic()


@pytest.fixture
def check(record_property):
    """Name what a test checks: `check(engine, gpu, words)`."""

    def name(engine: str, gpu: str, words: str) -> None:
        record_property("check", [engine, gpu, words])

    return name


def pytest_terminal_summary(terminalreporter):
    import wheels

    rows: dict[tuple, list[str]] = {}
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, ()):
            for _, (engine, gpu, words) in [pair for pair in report.user_properties if pair[0] == "check"]:
                kind, _, what = words.partition(" of ")
                rows.setdefault((engine, gpu, kind if not kind[0].isdigit() else "commands"), []).append(
                    "passed" if outcome == "passed" else f"FAILED {what}"
                )
    terminalreporter.section("CUDA wheels")
    for (engine, gpu, kind), found in sorted(rows.items()):
        failed = [result for result in found if result != "passed"]
        name = wheels.installed(engine)["name"]
        terminalreporter.write_line(
            f"{name:26} {gpu:5} {kind:28} {len(found) - len(failed):3} passed {len(failed):3} failed  {'; '.join(failed)}"
        )
    minutes = (time.monotonic() - BEGAN) / 60
    terminalreporter.write_line(f"{minutes:.1f} minutes, {wheels.size_gb():.1f} GB in {wheels.ROOT}")
