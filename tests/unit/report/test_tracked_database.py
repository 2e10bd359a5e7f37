"""When a sweep's repeated command may leave MLflow out, and when not."""

import sqlite3

import pytest

from harness.tracking.kept import FILE, keep_link, kept_link


@pytest.fixture
def logged(tmp_path):
    """What `keep_link` and `kept_link` are given, of a study that was logged."""
    results, report = tmp_path / "results/s", tmp_path / "reports/s"
    for folder, name in ((results, "sweep.json"), (report, "index.html"), (report / "charts", "a.svg")):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    with sqlite3.connect(tmp_path / "m.db") as database:
        database.execute("CREATE TABLE runs (name TEXT)")
    given = (results, report, f"sqlite:///{tmp_path}/m.db", "harness")
    keep_link("the link", *given)
    return given


def test_the_same_study_in_an_unchanged_database_is_not_logged_again(logged):
    assert kept_link(*logged) == kept_link(*logged) == "the link"


def _another_run(results, report):
    with sqlite3.connect(results.parents[1] / "m.db") as database:
        database.execute("INSERT INTO runs VALUES ('of another sweep')")


CHANGES = {
    "the report": lambda results, report: (report / "index.html").write_text("another number"),
    "a chart that is gone": lambda results, report: (report / "charts/a.svg").unlink(),
    "the plan": lambda results, report: (results / "sweep.json").write_text("{}"),
    "another run in the database": _another_run,
    "a database that is gone": lambda results, report: (results.parents[1] / "m.db").unlink(),
    "artifacts": lambda results, report: (results.parents[1] / "mlartifacts").mkdir(),
    "a damaged note": lambda results, report: (results / FILE).write_text('{"database": 1}'),
    "no note": lambda results, report: (results / FILE).unlink(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_changes_has_the_study_logged_again(logged, change):
    CHANGES[change](*logged[:2])
    assert kept_link(*logged) is None


def test_another_experiment_and_a_server_are_always_asked(logged):
    results, report, uri, _ = logged
    assert kept_link(results, report, uri, "another") is None
    assert kept_link(results, report, "http://127.0.0.1:5000", "harness") is None
    keep_link("a link", results, report, "http://127.0.0.1:5000", "harness")
    assert kept_link(results, report, uri, "harness") == "the link", "of a server nothing is remembered"
