"""MLflow for real: a server on loopback, and none."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from harness.errors import HarnessError
from harness.tracking import track
from tests import commands
from tests.integration.report.mlflow_runs import runs_of
from tests.unit.compare.two_sweeps import store
from tests.unit.report.synthetic_records import VARIANTS
from tests.unit.report.synthetic_study import synthetic_study

SERVER_START_S = 90


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/m.db", "--artifacts-destination", str(folder / "artifacts")]
    with open(folder / "log", "wb") as log:
        environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # seven processes fewer
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env=environment, start_new_session=True)
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
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(30)


def test_a_server_takes_it_and_a_second_time_adds_nothing(server, report_dir):
    for _ in range(2):
        track(synthetic_study(), report_dir, server, "harness")
    client, parent, children = runs_of(server)
    assert sorted(children) == sorted(VARIANTS)
    assert len(client.get_metric_history(children["fp8"].info.run_id, "accuracy/mmlu")) == 1
    assert client.list_artifacts(parent.info.run_id, "report")
    assert parent.info.artifact_uri.startswith("mlflow-artifacts:"), "artifacts went through the server"


@pytest.fixture(scope="module")
def tracked(server, tmp_path_factory):
    """(the command that logs a study to an experiment, what the client reads after it ran undisturbed)."""
    folder = tmp_path_factory.mktemp("tracked")
    results = store(folder / "results" / "killed")
    command = [sys.executable, "-m", "harness.track", str(results), "--tracking-uri", server, "--experiment"]
    complete(command, "untroubled", folder)
    return command, runs_of(server, "untroubled")


def complete(command, experiment, folder):
    done = commands.run([*command, experiment], cwd=folder)
    assert done.returncode == 0, done.stderr
    assert f"experiment {experiment}" in done.stdout and "viewStateShareKey" in done.stdout


@pytest.mark.parametrize("after_s", [0.0, 1.0])
def test_killed_anywhere_and_repeated_it_is_complete_without_duplicates(server, tracked, tmp_path, after_s):
    from mlflow import MlflowClient

    command, (_, whole, expected) = tracked
    experiment = f"killed {after_s}"
    process = subprocess.Popen([*command, experiment], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    client, deadline = MlflowClient(tracking_uri=server), time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        found = client.get_experiment_by_name(experiment)
        if found and client.search_runs([found.experiment_id]):
            break
        time.sleep(0.02)
    time.sleep(after_s)
    process.kill()
    process.wait()
    complete(command, experiment, tmp_path)
    _, parent, children = runs_of(server, experiment)
    assert {n: (r.data.metrics, r.data.params) for n, r in children.items()} == {
        n: (r.data.metrics, r.data.params) for n, r in expected.items()
    }
    assert parent.data.params == whole.data.params and parent.info.status == "FINISHED"
    for folder in ("report", "plan"):
        listed = [
            {(item.path, item.file_size) for item in client.list_artifacts(run.info.run_id, folder)}
            for run in (parent, whole)
        ]
        assert {path for path, _ in listed[0]} == {path for path, _ in listed[1]} and listed[0]
    for run, twin in ((children["fp8"], expected["fp8"]), (parent, whole)):
        assert len(run.inputs.dataset_inputs) == len(twin.inputs.dataset_inputs) > 0


def test_the_command_without_a_server_fails_alone_with_itself_to_repeat(tmp_path):
    results = store(tmp_path / "results" / "small one")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{probe.getsockname()[1]}"
    command = [sys.executable, "-m", "harness.track", str(results), "--tracking-uri", uri]
    done = commands.run(command, cwd=tmp_path)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert f"python -m harness.track '{results}' --tracking-uri {uri} --experiment harness" in done.stderr
    assert not list(tmp_path.glob("mlruns*")) and not list(tmp_path.glob("reports*"))
    done = commands.run([*command[:3], str(tmp_path)], cwd=tmp_path)
    assert done.returncode == 2 and "has no sweep.json" in done.stderr


def test_a_server_that_is_down_fails_soon_with_the_command_to_repeat(report_dir):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    start = time.monotonic()
    with pytest.raises(
        HarnessError, match=r"(?s)did not take the study.*\n  python -m harness\.track results/synthetic --tracking-uri"
    ):
        track(synthetic_study(), report_dir, f"http://user:secret@127.0.0.1:{port}", "harness")
    assert time.monotonic() - start < 15


def test_a_password_in_the_uri_is_not_in_the_error(report_dir):
    with pytest.raises(HarnessError) as caught:
        track(synthetic_study(), report_dir, "http://user:secret@127.0.0.1:9", "harness")
    assert "secret" not in str(caught.value)
