"""What can be looked at while a sweep runs: its report and MLflow after the first session."""

import os
import re
import signal
import subprocess
import sys

from tests.integration.flow import command, records, run
from tests.integration.report.mlflow_runs import runs_of

AT_ONCE = "from harness.sweeps import sinks; sinks.SHARE = 0; from harness.cli import main; raise SystemExit(main())"
SMALL = ("scenario=[rag_256_8]", "load.single_stream_requests=2", "load.throughput_requests=0", "mlflow.enabled=true")


def impatient(arguments: list[str]) -> list[str]:
    """The command with an update after each session, however short the session was."""
    return [sys.executable, "-c", AT_ONCE, *arguments[3:]]


def test_a_sweep_killed_after_its_first_session_has_a_report_that_says_what_was_to_come(scripted, tiny_model, tmp_path):
    uri = f"mlflow.tracking_uri=sqlite:///{tmp_path}/mlflow.db"
    arguments = command(tmp_path, tiny_model, scripted.port, *SMALL, uri)
    with subprocess.Popen(
        impatient(arguments), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        said = []
        for line in process.stderr:
            said.append(line)
            if "fp8_dynamic: connecting" in line:
                os.kill(process.pid, signal.SIGKILL)
    before = records(tmp_path)
    assert {key.split("/")[0] for key in before} == {"bf16"}, said
    page = (tmp_path / "reports/flow/index.html").read_text()
    assert re.search(
        r"written during the run, at [^ ]+: 2 of 4 cells were still to come \(fp8_dynamic\), about \d+:\d\d", page
    )
    assert 'id="to_come"' in page and any("the report is up to date" in line for line in said)
    _, parent, _ = runs_of(uri.partition("=")[2])
    assert parent.info.status == "RUNNING" and "INCOMPLETE" in parent.data.tags["harness.marks"]

    again = run(tmp_path, tiny_model, scripted.port, *SMALL, uri)
    assert again.returncode == 0, again.stdout + again.stderr
    page = (tmp_path / "reports/flow/index.html").read_text()
    assert "the sweep is running" not in page and 'id="to_come"' not in page
    _, completed, _ = runs_of(uri.partition("=")[2])
    assert completed.info.run_id == parent.info.run_id and completed.info.status == "FINISHED"
