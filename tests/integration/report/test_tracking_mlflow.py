"""MLflow for real: SQLite, and a server on loopback."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "unit" / "report"))
from synthetic_study import VARIANTS, build, parts, synthetic_study, without

from harness.errors import HarnessError
from harness.report import write_report
from harness.tracking import metric_name, track

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
SERVER_START_S = 90


def runs_of(uri, experiment="harness"):
    """(parent, {variant: child}) after checking that there is no other run."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=uri)
    runs = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
    parents = [run for run in runs if "harness.variant" not in run.data.tags]
    children = {run.data.tags["harness.variant"]: run for run in runs if "harness.variant" in run.data.tags}
    assert len(parents) == 1 and len(runs) == 1 + len(children)
    return client, parents[0], children


@pytest.fixture(scope="module")
def report_dir(tmp_path_factory):
    return write_report(synthetic_study(), tmp_path_factory.mktemp("report")).parent


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory, report_dir):
    """A database into which the same study was logged twice."""
    uri = f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"
    for _ in range(2):
        track(synthetic_study(), report_dir, uri, "harness")
    return uri


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/m.db", "--artifacts-destination", str(folder / "artifacts")]
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, start_new_session=True)
        try:
            deadline = time.monotonic() + SERVER_START_S
            while True:
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2).close()
                    break
                except OSError:
                    if process.poll() is not None or time.monotonic() > deadline:
                        pytest.skip(f"mlflow server did not start in {SERVER_START_S} s: {folder}/log")
                    time.sleep(0.5)
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(process.pid, 15)
            process.wait(30)


def test_a_sweep_is_a_parent_and_a_variant_a_child(sqlite):
    _, parent, children = runs_of(sqlite)
    assert list(sorted(children)) == sorted(VARIANTS)
    assert {run.data.tags["mlflow.parentRunId"] for run in children.values()} == {parent.info.run_id}
    assert children["fp8"].info.run_name == "Dense FP8" and parent.info.run_name == "synthetic"
    assert all(run.info.status == "FINISHED" for run in (parent, *children.values()))
    assert all(len(run.data.params) <= 10 for run in (parent, *children.values()))
    assert "keeps 99.3 %" in children["fp8"].data.tags["mlflow.note.content"]


def test_metrics_compare_side_by_side(sqlite):
    _, _, children = runs_of(sqlite)
    metrics = children["int4"].data.metrics
    wanted = {"accuracy/mmlu", "recovery/mmlu", "recovery/average", "chat_512_256/itl_ms_p99_at_qps_4"}
    assert wanted | {"chat_512_256/output_tok_per_s_throughput", "chat_512_256/max_qps_at_slo"} <= metrics.keys()
    assert "recovery/mmlu" not in children["bf16"].data.metrics


def test_a_ladder_is_a_series_by_rate(sqlite):
    client, _, children = runs_of(sqlite)
    history = client.get_metric_history(children["int4"].info.run_id, "chat_512_256/itl_ms_p99_by_qps")
    assert [entry.step for entry in sorted(history, key=lambda m: m.step)] == [1, 2, 4]


def test_the_report_is_an_artifact_beside_the_database(sqlite):
    client, parent, _ = runs_of(sqlite)
    names = {Path(item.path).name for item in client.list_artifacts(parent.info.run_id, "report")}
    assert names == {"cells.csv", "index.html", "release_notes.md", "summary.json"}
    assert Path(parent.info.artifact_uri.removeprefix("file://")).is_relative_to(Path(sqlite[10:]).parent)


def test_a_second_time_adds_nothing(sqlite):
    client, _, children = runs_of(sqlite)
    for name in ("accuracy/mmlu", "chat_512_256/itl_ms_p50_at_qps_1"):
        assert len(client.get_metric_history(children["fp8"].info.run_id, name)) == 1


def test_an_unfinished_sweep_is_completed_in_place_and_a_changed_one_replaced(tmp_path, report_dir):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    manifest, records, rows = parts()
    track(build(manifest, without(records, "load-fp8-chat"), rows), report_dir, uri, "harness")
    _, parent, children = runs_of(uri)
    assert "chat_512_256/itl_ms_p99_at_qps_4" not in children["fp8"].data.metrics
    track(build(manifest, records, rows), report_dir, uri, "harness")
    _, parent_again, completed = runs_of(uri)
    assert parent_again.info.run_id == parent.info.run_id
    assert completed["fp8"].info.run_id == children["fp8"].info.run_id
    assert "chat_512_256/itl_ms_p99_at_qps_4" in completed["fp8"].data.metrics
    for record in records:
        if record["cell"]["key"] == "load-fp8-chat_512_256-server-4.0-0":
            record["flags"].append({"code": "client_lag", "level": "invalid", "message": "late"})
    track(build(manifest, records, rows), report_dir, uri, "harness")
    _, _, replaced = runs_of(uri)
    assert "chat_512_256/itl_ms_p99_at_qps_4" not in replaced["fp8"].data.metrics, "an invalid number does not stay"
    assert replaced["int4"].info.run_id == children["int4"].info.run_id


def test_names_that_mlflow_refuses(tmp_path, report_dir):
    manifest, records, rows = parts(variants={name: VARIANTS[name] for name in ("bf16", "fp8")})
    manifest["name"] = 'o\'neil "x" <script>'
    manifest["variants"]["fp8"]["label"] = "x" * 700
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    for _ in range(2):
        track(build(manifest, records, rows), report_dir, uri, "harness")
    runs_of(uri)
    assert metric_name("../chat@512//p99, ms") == "chat_512/p99_ ms"


def test_a_server_takes_it_and_a_second_time_adds_nothing(server, report_dir):
    for _ in range(2):
        track(synthetic_study(), report_dir, server, "harness")
    client, parent, children = runs_of(server)
    assert sorted(children) == sorted(VARIANTS)
    assert len(client.get_metric_history(children["fp8"].info.run_id, "accuracy/mmlu")) == 1
    assert client.list_artifacts(parent.info.run_id, "report")


def test_a_server_that_is_down_fails_soon_with_the_command_to_repeat(report_dir):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    start = time.monotonic()
    with pytest.raises(HarnessError, match=r"(?s)did not take the study.*\n  python -m harness \+sweep=synthetic"):
        track(synthetic_study(), report_dir, f"http://user:secret@127.0.0.1:{port}", "harness")
    assert time.monotonic() - start < 15


def test_a_password_in_the_uri_is_not_in_the_error(report_dir):
    with pytest.raises(HarnessError) as caught:
        track(synthetic_study(), report_dir, "http://user:secret@127.0.0.1:9", "harness")
    assert "secret" not in str(caught.value)


def test_the_environment_is_left_as_it_was(sqlite, report_dir):
    before = dict(os.environ)
    track(synthetic_study(), report_dir, sqlite, "harness")
    assert dict(os.environ) == before
