"""Sessions side by side on two declared GPUs, through the command line, on the simulated engine."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from harness.records.store import Store


def command(tmp_path: Path, name: str, *more: str) -> list[str]:
    return [
        *(sys.executable, "-m", "harness", "+sweep=quickstart", "engine=simulated", f"name={name}", "progress=plain"),
        *("variant=[bf16,w4a16]", "suite=[alpaca_eval]", "suites.alpaca_eval.items=3", "data.root=pocket"),
        *("judge.model=pocket:tokenizer", "judge.prompt=few_shot", "judge.calibration_items=4"),
        *("scenario=[chat_96_16]", "load.rates_rps=[8]", "noise_runs=0"),
        *(
            "load.single_stream_requests=4",
            "load.throughput_requests=8",
            "load.repeats=1",
            "load.duration_s=1",
            "load.min_requests=4",
            "mlflow.enabled=false",
        ),
        *("executor.gpus=[0,1]", "executor.colocate=all", f"results_dir={tmp_path}/results"),
        *(f"reports_dir={tmp_path}/reports", *more),
    ]


def records(tmp_path: Path, name: str) -> dict[str, dict]:
    found = [json.loads(path.read_text()) for path in (tmp_path / "results" / name / "cells").glob("*/record.json")]
    return {record["cell"]["key"]: record for record in found}


def items(tmp_path: Path, name: str) -> dict[str, list]:
    """What each accuracy cell asked and got; of load cells the prompts' lengths and, at a rate, the arrivals."""
    store = Store(tmp_path / "results" / name)
    same = ("doc_hash", "prompt_hash", "response", "prompt_tokens")
    return {
        key: sorted(
            str([*map(row.get, same), row.get("intended_s") if "server" in key else None])
            for row in store.rows(record["fingerprint"])
        )
        for key, record in records(tmp_path, name).items()
        if record["cell"]["kind"] != "judge"
    }


def test_two_gpus_measure_the_same_cells_as_one_and_at_the_same_time(tmp_path):
    for name, parallel in (("one", 1), ("two", 2)):
        done = subprocess.run(
            command(tmp_path, name, f"executor.parallel={parallel}"),
            capture_output=True, text=True, timeout=240, check=False,
        )  # fmt: skip
        assert "report:" in done.stdout and "FAILED" not in done.stderr, done.stdout + done.stderr
    (side_by_side,) = re.findall(r"2 of 3 sessions run: (\w+) on GPU (\d), (\w+) on GPU (\d)", done.stderr)
    assert sorted(side_by_side[::2]) == ["bf16", "w4a16"] and sorted(side_by_side[1::2]) == ["0", "1"]
    one, two = records(tmp_path, "one"), records(tmp_path, "two")
    assert {key: record["fingerprint"] for key, record in one.items()} == {
        key: record["fingerprint"] for key, record in two.items()
    }
    assert "w4a16/alpaca_eval/judge" in two and items(tmp_path, "one") == items(tmp_path, "two")
    assert not any("placement" in record for record in one.values())
    placed = {key: record["placement"] for key, record in two.items()}
    load = placed["w4a16/chat_96_16/throughput_r0"]
    gpu = side_by_side[side_by_side.index("w4a16") + 1]
    assert load["neighbours"] == ["bf16"] and load["gpus"] == [gpu] and load["host"] == os.uname().nodename
    flags = two["w4a16/chat_96_16/throughput_r0"]["flags"]
    assert any(flag["code"] == "neighbours" and flag["level"] == "caution" for flag in flags)
    assert placed["w4a16/alpaca_eval/judge"]["neighbours"] == [], "the judge waits for the answers"


def test_a_session_that_is_killed_goes_on_from_its_last_cell_in_the_same_run(tmp_path):
    with subprocess.Popen(
        command(tmp_path, "killed", "suite=[]", "judge=null", "load.single_stream_requests=20"),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    ) as process:  # fmt: skip
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and not (before := records(tmp_path, "killed")):
            time.sleep(0.02)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(children[0]), signal.SIGKILL)
        said, _ = process.communicate(timeout=240)
    assert "its process was killed by signal 9" in said, said
    after = records(tmp_path, "killed")
    kept = {
        key: record for key, record in before.items() if "invalid" not in {flag["level"] for flag in record["flags"]}
    }
    assert len(after) == 6 and all(after[key] == record for key, record in kept.items())
