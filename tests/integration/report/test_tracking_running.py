"""A sweep that is logged to MLflow while it runs: SQLite, for real."""

from dataclasses import replace

import pytest

from harness.analysis.to_come import SessionToCome, ToCome
from harness.tracking import track
from tests.integration.report.mlflow_runs import runs_of
from tests.unit.report.synthetic_records import VARIANTS
from tests.unit.report.synthetic_study import build, parts

COMING = ToCome((SessionToCome("fp8", 8, 90.0),), "2026-11-30T21:00+00:00")
TWO = {name: VARIANTS[name] for name in ("bf16", "fp8")}


def session_by_session(change=lambda records: None):
    """The study after its first session, and when it is complete."""
    manifest, records, rows = parts(variants=TWO, rates=[1.0])
    change(records)
    first = build(manifest, [record for record in records if record["cell"]["variant"] == "bf16"], rows)
    return replace(first, to_come=COMING), build(manifest, records, rows)


def all_runs(client, experiment):
    from mlflow.entities import ViewType

    found = client.get_experiment_by_name(experiment)
    return client.search_runs([found.experiment_id], run_view_type=ViewType.ALL)


@pytest.fixture(scope="module")
def uri(tmp_path_factory):
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


def test_the_runs_of_the_first_session_are_those_of_the_complete_sweep(uri, report_dir):
    first, complete = session_by_session()
    for _ in range(2):
        track(first, report_dir, uri, "live")
    client, parent, children = runs_of(uri, "live")
    assert parent.info.status == "RUNNING" and "INCOMPLETE" in parent.data.tags["harness.marks"]
    assert "still to come (fp8)" in parent.data.tags["mlflow.note.content"]
    assert not [run for run in all_runs(client, "live") if "harness.history" in run.data.tags], "no half point"
    track(complete, report_dir, uri, "live")
    _, finished, completed = runs_of(uri, "live")
    assert finished.info.run_id == parent.info.run_id and finished.info.status == "FINISHED"
    assert "INCOMPLETE" not in finished.data.tags["harness.marks"]
    assert {name: run.info.run_id for name, run in children.items()} == {
        name: run.info.run_id for name, run in completed.items()
    }
    assert completed["fp8"].data.metrics["recovery/average"] > 0
    assert len([run for run in all_runs(client, "live") if "harness.history" in run.data.tags]) == 2


def test_an_engine_that_only_a_later_session_has_makes_no_second_run(uri, report_dir):
    """Two servers of other people may be of two versions."""

    def two_versions(records):
        for record in records:
            if record["cell"]["variant"] == "fp8":
                record["engine"]["version"] = "0.99.0"

    first, complete = session_by_session(two_versions)
    track(first, report_dir, uri, "versions")
    track(complete, report_dir, uri, "versions")
    _, parent, children = runs_of(uri, "versions")
    by = {run.data.tags["harness.measured_by"] for run in (parent, *children.values())}
    assert len(by) == 1 and "0.99.0" in by.pop()


def test_a_value_that_became_smaller_replaces_the_one_before(uri, report_dir):
    """MLflow prefers the larger of two values that have one step and one time."""
    manifest, records, rows = parts(variants=TWO, rates=[1.0])
    name = "serving_chat_512_256/itl_ms_p99_single_stream"
    found = []
    for factor in (1.0, 0.5, 0.75):
        for record in records:
            if record["cell"]["key"] == "load-fp8-chat_512_256-single_stream-None-0":
                record["result"]["itl_ms_p99"] = 40.0 * factor
        track(build(manifest, records, rows), report_dir, uri, "smaller")
        _, _, children = runs_of(uri, "smaller")
        found.append(children["fp8"].data.metrics[name])
    assert found == [40.0, 20.0, 30.0]
