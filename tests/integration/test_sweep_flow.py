"""The whole flow through the command line, against a real small server: store, resume, report, failures."""

import json
import resource
import subprocess
import sys

from tests import commands
from tests.integration.flow import CELLS, command, records, run


def test_damaged_cells_are_named_set_aside_and_measured_again_by_the_same_command(scripted, tiny_model, tmp_path):
    one = ("variant=[bf16]", "scenario=[rag_256_8]", "load.rates_rps=[20,40]")
    assert run(tmp_path, tiny_model, scripted.port, *one).returncode == 0
    whole, asked, store = records(tmp_path), len(scripted.bodies), tmp_path / "results/flow"
    cut, flipped, changed, untouched = sorted((store / "cells").glob("*--*"))
    (cut / "record.json").write_bytes((cut / "record.json").read_bytes()[:300])
    rows = bytearray((flipped / "rows.jsonl.gz").read_bytes())
    rows[len(rows) // 2] ^= 1
    (flipped / "rows.jsonl.gz").write_bytes(rows)
    record = json.loads((changed / "record.json").read_text())
    record["result"]["itl_ms_p50"] /= 2
    (changed / "record.json").write_text(json.dumps(record))
    kept = (untouched / "record.json").read_bytes()
    report = [sys.executable, "-m", "harness.report", str(store), "--out", str(tmp_path / "out")]
    said = commands.run(report, timeout=120)
    damaged = [f"cells/{cell.name}" for cell in (cut, flipped, changed)]
    words = said.stdout + said.stderr
    assert said.returncode == 0 and all(name in words for name in damaged), words

    again = run(tmp_path, tiny_model, scripted.port, *one)
    assert again.returncode == 0, again.stdout + again.stderr
    assert all(name in again.stdout + again.stderr for name in damaged), again.stdout + again.stderr
    assert records(tmp_path).keys() == whole.keys() and len(scripted.bodies) > asked
    assert (untouched / "record.json").read_bytes() == kept
    assert len(list((store / "cells/.damaged").iterdir())) == 3
    asked = len(scripted.bodies)
    third = run(tmp_path, tiny_model, scripted.port, *one)
    assert third.returncode == 0 and len(scripted.bodies) == asked and "damaged" not in third.stderr


def test_answers_that_do_not_fit_into_tmpdir_end_the_run_with_one_line(scripted, tiny_model, tmp_path, monkeypatch):
    """No file may grow beyond 8 KB, as under `ulimit -f 8`: the requests fit, the answers do not."""
    (temporary := tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    limits = (8 << 10, resource.RLIM_INFINITY)
    done = subprocess.run(
        command(tmp_path, tiny_model, scripted.port, "scenario=[code_completion_64_24]"),
        capture_output=True, text=True, timeout=240, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limits),
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("error: no space left for ") and "File too large" in last and "free some space" in last
    assert "Traceback" not in done.stderr
    assert list(temporary.iterdir()) == []


def test_a_tmpdir_that_is_not_there_is_said_before_anything_starts(scripted, tiny_model, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "absent"))
    done = run(tmp_path, tiny_model, scripted.port)
    assert done.returncode == 2 and f"TMPDIR {tmp_path}/absent: no such directory" in done.stderr
    assert not (tmp_path / "results").exists()


def test_a_server_that_stops_answering_costs_its_cells_and_no_more(scripted, tiny_model, tmp_path):
    scripted.script = ["good"] * 5 + ["silent"] * 8 + ["good"] * 400
    limits = ("load.request_timeout_s=2", "load.cell_timeout_s=4", "load.warmup_requests=0")
    done = run(tmp_path, tiny_model, scripted.port, *limits)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "cells failed" in done.stdout
    assert "timeout" in done.stdout
    assert (tmp_path / "reports/flow/index.html").is_file(), "the report is written all the same"
    failed = {json.loads(p.read_text())["key"] for p in (tmp_path / "results/flow/failures").glob("*.json")}
    assert failed and failed.isdisjoint(records(tmp_path))
    again = run(tmp_path, tiny_model, scripted.port, *limits)
    assert again.returncode == 0
    assert len(records(tmp_path)) == CELLS
    assert not list((tmp_path / "results/flow/failures").glob("*.json"))


def test_a_server_that_is_not_there_is_said_with_its_address_before_anything_starts(tiny_model, tmp_path):
    from harness.engines.process import free_port

    done = run(tmp_path, tiny_model, port := free_port())
    assert done.returncode == 2
    assert f"variant bf16: http://127.0.0.1:{port}/v1/models does not answer" in done.stderr
    assert "is the server up?" in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_one_endpoint_is_not_two_variants(scripted, tiny_model, tmp_path):
    done = run(tmp_path, tiny_model, scripted.port, "~engine.targets.fp8_dynamic")
    assert done.returncode == 2
    assert "variants bf16 and fp8_dynamic are the same endpoint and model" in done.stderr
    assert "+engine.targets.fp8_dynamic=" in done.stderr


def test_preflight_lists_everything_at_once(tmp_path):
    arguments = [sys.executable, "-m", "harness", "+sweep=quickstart", f"results_dir={tmp_path}", "model=./nowhere",
                 "scenarios.rag_256_8.prompt_tokens=9000", "data.root=/no/such/mirror",
                 "engine.python=/no/such/python",
                 "variant=[bf16,fp8_dynamic,w4a16,sparse24_fp8_wanda]",
                 "variants.sparse24_fp8_wanda.recipe.calibration.file=/no/such/chat.jsonl"]  # fmt: skip
    done = commands.run(arguments, timeout=120)
    assert done.returncode == 2
    expected = ["no such directory", "engine.max_model_len is 2048", "/no/such/python", "mmlu has no "]
    for words in [*expected, "calibration.file: /no/such/chat.jsonl: No such file"]:
        assert words in done.stderr
    assert "preflight found" in done.stderr and "Traceback" not in done.stderr
    assert not any(tmp_path.iterdir())


def test_checks_end_the_run_in_a_table_and_decide_its_exit_code(scripted, tiny_model, tmp_path):
    def check(value: float) -> list[str]:
        """The server sends 8 tokens with 10 ms between them: an answer takes 70 ms or a little more."""
        metric = "rag_256_8/e2e_ms_p50_single_stream"
        entry = f"{{variant: bf16, metric: {metric}, value: {value}, tolerance: 0.9, source: its schedule}}"
        return [f"checks.metrics=[{entry}]", "checks.load=true", "scenario=[rag_256_8]", "on_unsupported=skip"]

    kept = run(tmp_path, tiny_model, scripted.port, *check(200))
    assert kept.returncode == 0, kept.stdout + kept.stderr
    assert "checks: 3 PASS, 0 FAIL" in kept.stdout and "load points valid" in kept.stdout
    broken = run(tmp_path, tiny_model, scripted.port, *check(20_000))
    assert broken.returncode == 1, "the cells are cached and complete; the check alone fails"
    assert "checks: 2 PASS, 1 FAIL" in broken.stdout and "tolerance 90 %" in broken.stdout
    summary = json.loads((tmp_path / "reports/flow/summary.json").read_text())
    assert [result["status"] for result in summary["checks"]] == ["fail", "pass", "pass"]
