"""What a sweep measures, and how it counts requests, through the command line; alone on the machine (Makefile)."""

import re
import subprocess
import sys

from tests import commands
from tests.integration.flow import CELLS, command, records, run
from tests.unit.test_wording import BANNED


def test_measure_report_and_resume(scripted, tiny_model, tmp_path):
    whole = command(tmp_path, tiny_model, scripted.port)
    first = subprocess.run(whole, capture_output=True, text=True, timeout=240, check=False)
    assert first.returncode == 0, first.stdout + first.stderr
    report = tmp_path / "reports/flow/index.html"
    assert f"report:  {report}" in first.stdout
    assert 'id="energy"' not in report.read_text()
    stored = records(tmp_path)
    assert len(stored) == CELLS
    for record in stored.values():
        result = record["result"]
        assert result["requests_completed"] == result["requests_sent"] > 0
        assert 8 < result["itl_ms_p50"] < 40, "the server sends a token every 10 ms"
        assert "telemetry" not in record, "whose GPUs serve an endpoint is not known"
    prompts = [body["prompt"] for body in scripted.bodies if body["max_tokens"] == 8]
    assert {len(prompt) for prompt in prompts} == {256}

    asked = len(scripted.bodies)
    page = report.read_bytes()
    second = run(tmp_path, tiny_model, scripted.port)
    assert second.returncode == 0
    assert len(scripted.bodies) == asked, "everything is cached: not one request is sent"
    assert report.read_bytes() == page

    third = run(tmp_path, tiny_model, scripted.port, "load.rates_rps=[20,40]")
    assert third.returncode == 0
    assert len(records(tmp_path)) == CELLS + 4, "a new rate is four new cells; the others stay"


def test_an_invalid_cell_is_measured_again_and_its_tries_are_kept(scripted, tiny_model, tmp_path):
    one = ("variant=[bf16]", "scenario=[rag_256_8]", "load.single_stream_requests=0", "load.throughput_requests=0")
    one += ("load.rates_rps=[20]", "load.warmup_requests=0", "load.retries=1")
    scripted.script = ["good", "good", "good", "503"]
    first = run(tmp_path, tiny_model, scripted.port, *one)
    assert first.returncode == 1, first.stdout + first.stderr
    assert len(scripted.bodies) == 21, "one of preflight, and ten that are measured again once"
    key = "bf16/rag_256_8/server_20rps_r0"
    assert (
        "1 cell is invalid and not compared:" in first.stdout
        and f"{key}: 3 of 10 requests failed (http_503 3)" in first.stdout
    )
    assert "read the server's log; if it was overloaded" in first.stdout
    assert "measured again at the end of the session" in first.stderr
    page = (tmp_path / "reports/flow/index.html").read_text()
    assert "Invalid cells" in page and "read the server&#39;s log" in page and "not reached" not in page

    planned = run(tmp_path, tiny_model, scripted.port, *one, "dry_run=true")
    assert "1 cell is invalid and is measured again: errors 1" in planned.stdout, planned.stdout
    assert not BANNED.search(planned.stdout)
    scripted.script = ["good"]
    second = run(tmp_path, tiny_model, scripted.port, *one)
    assert second.returncode == 0, second.stdout + second.stderr
    [record] = records(tmp_path).values()
    [note] = [flag for flag in record["flags"] if flag["code"] == "measured_again"]
    assert note["level"] == "note"  # (client_lag, errors) where the machine is busy
    assert re.match(r"2 earlier tries were invalid \(([a-z_]+, )*errors(, [a-z_]+)*\)", note["message"])
    asked = len(scripted.bodies)
    assert run(tmp_path, tiny_model, scripted.port, *one).returncode == 0 and len(scripted.bodies) == asked
    store = tmp_path / "results/flow"
    assert len(list((store / "cells/.earlier").iterdir())) == 2
    check = [sys.executable, "-m", "harness", "check", str(store)]
    listed = commands.run(check, timeout=60)
    assert listed.returncode == 0 and listed.stdout.count(f"{key}: earlier try, of ") == 2, listed.stdout
