"""The table of `make wheels`: wheel, GPU, check, result."""

import time

import pytest

BEGAN = time.monotonic()


@pytest.fixture
def check(record_property):
    """Name what a test checks: `check(engine, gpu, words)`."""

    def name(engine: str, gpu: str, words: str) -> None:
        record_property("check", [engine, gpu, words])

    return name


def pytest_collection_modifyitems(items):
    """With xdist, tests of one wheel on one GPU go to one worker, which asks the wheel once."""
    from tests.wheels import expected, studies

    for item in items:
        given = item.callspec.params if hasattr(item, "callspec") else {}
        engine = given.get("engine") or (studies.STUDIES[given["sweep"]].engine if "sweep" in given else "others")
        gpu = given.get("gpu") or expected.HOME.get(engine, "")
        item.add_marker(pytest.mark.xdist_group(f"{engine}-{gpu}"))


def pytest_terminal_summary(terminalreporter):
    from tests.wheels import wheels

    rows: dict[tuple, list[str]] = {}
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, ()):
            for _, (engine, gpu, words) in [pair for pair in report.user_properties if pair[0] == "check"]:
                kind, _, what = words.partition(" of ")
                rows.setdefault((engine, gpu, kind if not kind[0].isdigit() else "commands"), []).append(
                    "passed" if outcome == "passed" else f"FAILED {what}"
                )
    if not rows:  # collected alone, or what needs no wheel
        return
    terminalreporter.section("CUDA wheels")
    for (engine, gpu, kind), found in sorted(rows.items()):
        failed = [result for result in found if result != "passed"]
        name = wheels.installed(engine)["name"]
        count = f"{len(found) - len(failed):3} passed {len(failed):3} failed"
        terminalreporter.write_line(f"{name:26} {gpu:5} {kind:28} {count}  {'; '.join(failed)}")
    minutes = (time.monotonic() - BEGAN) / 60
    terminalreporter.write_line(f"{minutes:.1f} minutes, {wheels.size_gb():.1f} GB in {wheels.ROOT}")
