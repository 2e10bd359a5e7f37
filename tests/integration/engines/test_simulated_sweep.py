"""A sweep written for a Hopper GPU, rehearsed through the command line on a machine that has none."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from harness.engines.simulated.batching import Batch
from harness.engines.simulated.roofline import HARDWARE, SCHEMES, SHAPES, Roofline
from tests import commands


def rehearse(tmp_path: Path, model: Path, *more: str) -> subprocess.CompletedProcess:
    command = [
        *(sys.executable, "-m", "harness", "+sweep=hopper_sparse_fp8", "engine=simulated", f"model={model}"),
        *("variant=[bf16,sparse24_fp8]", "suite=[]", "judge=null", "scenario=[instruction_256_128]"),
        "scenarios.instruction_256_128.text=prose",
        *("load.rates_rps=[20]", "load.duration_s=0.5", "load.min_requests=8", "load.repeats=1"),
        *("load.single_stream_requests=4", "load.throughput_requests=8", "mlflow.enabled=false", "progress=plain"),
        *(f"cache_dir={tmp_path}/cache", f"results_dir={tmp_path}/results", f"reports_dir={tmp_path}/reports", *more),
    ]
    return commands.run(command, timeout=240)


def test_the_study_is_rehearsed_and_watermarked(tiny_model, tmp_path):
    done = rehearse(tmp_path, tiny_model)
    assert done.returncode == 0, done.stdout + done.stderr
    found = (tmp_path / "results/hopper_sparse_fp8/cells").glob("*/record.json")
    records = {record["cell"]["key"]: record for record in (json.loads(path.read_text()) for path in found)}
    assert {key.split("/")[0] for key in records} == {"bf16", "sparse24_fp8"}
    for record in records.values():
        assert "simulated" in {flag["code"] for flag in record["flags"]}
        assert (record["engine"]["kind"], record["engine"]["hardware"]) == ("simulated", "h100")
        assert record["result"]["requests_completed"] == record["result"]["requests_sent"] > 0
        assert "telemetry" not in record
    for variant, scheme in (("bf16", "bf16"), ("sparse24_fp8", "sparse_fp8")):
        record = records[f"{variant}/instruction_256_128/single_stream_r0"]
        assert record["engine"]["scheme"] == SCHEMES[scheme].name
        model = Roofline(HARDWARE["h100"], SHAPES["llama-3.1-8b"], SCHEMES[scheme])
        alone_ms = model.step_s(Batch(1, 1, 300, 300)) * 1e3
        # A server and a client that come late now and then do not change the median: the deadlines do not drift.
        assert record["result"]["itl_ms_p50"] == pytest.approx(alone_ms, rel=0.1)
    report = tmp_path / "reports/hopper_sparse_fp8"
    page = (report / "index.html").read_text()
    assert "SIMULATED" in page and 'id="energy"' not in page
    assert not list((tmp_path / "results").rglob("telemetry.jsonl.gz"))
    cached = {path.name for path in (tmp_path / "cache").rglob("*")}
    assert cached == {"durations.jsonl"}, "nothing was downloaded, imported or compressed"


def test_a_model_that_does_not_fit_stops_before_anything_starts(tiny_model, tmp_path):
    done = rehearse(tmp_path, tiny_model, "engine.shape=llama-3.1-405b", "deployments.tensor_parallel=[8]")
    assert done.returncode == 2
    assert "variant bf16: Llama 3.1 405B in BF16 takes 812 GB, and 8 x NVIDIA H100 SXM have 640 GB" in done.stderr
    assert not (tmp_path / "results").exists()
