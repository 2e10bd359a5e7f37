"""The GEMM study on the real engine's kernels: measured, checked against float64, interrupted, resumed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.engines.watchdog import descendants
from harness.records.store import Store

pytestmark = [pytest.mark.engine, pytest.mark.timeout(1200)]

SHAPE = {
    "model_type": "llama", "hidden_size": 256, "intermediate_size": 512, "num_attention_heads": 4,
    "num_key_value_heads": 2, "num_hidden_layers": 2,
}  # fmt: skip


def command(folder: Path) -> list[str]:
    (folder / "model").mkdir(exist_ok=True)
    (folder / "model/config.json").write_text(json.dumps(SHAPE))
    return [
        *(sys.executable, "-m", "harness", "+sweep=gemm", "engine=vllm_cpu", "variant=[bf16,int8_w8a8,fp32]"),
        *("model=./model", "gemm.batch_sizes=[1,16]", "gemm.layers=[o_proj,down_proj]", "gemm.repeats=6"),
        *("gemm.min_time_ms=1", "mlflow.enabled=false", "hardware.min_free_disk_gb=0.1", "progress=plain"),
    ]


def records(folder: Path) -> dict[str, dict]:
    found = [json.loads(path.read_text()) for path in (folder / "results/gemm/cells").glob("*/record.json")]
    return {record["cell"]["key"]: record for record in found}


def worker_of(pid: int) -> int | None:
    """The worker's process, below the harness and its watchdog."""
    for child in descendants(pid):
        try:
            words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if len(words) > 1 and words[1].endswith(b"gemm_main.py"):
            return child
    return None


def test_products_are_right_and_kill_9_costs_one_layer(tmp_path):
    process = subprocess.Popen(command(tmp_path), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               text=True)  # fmt: skip
    deadline = time.monotonic() + 900
    while time.monotonic() < deadline and (worker := worker_of(process.pid)) is None:
        time.sleep(0.05)
    os.kill(worker, signal.SIGKILL)  # while it imports or measures: its first start is lost, what else depends on when
    said, _ = process.communicate(timeout=900)
    first = records(tmp_path)
    assert process.returncode == 1 and "Traceback" not in said
    assert "worker died" in said and "exit code 137" in said

    done = subprocess.run(command(tmp_path), cwd=tmp_path, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = records(tmp_path)
    assert len(found) == 2 * 3 and first.items() <= found.items(), "nothing measured was run twice"
    assert not list((tmp_path / "results/gemm/failures").glob("*.json"))

    store = Store(tmp_path / "results/gemm")
    for key, record in found.items():
        rows = store.rows(record["fingerprint"])
        assert {row["batch"] for row in rows} == {1, 16}
        assert {row["role"] for row in rows} == {"engine", "vendor"}
        assert all(len(row["times_s"]) == 6 and min(row["times_s"]) > 0 for row in rows)
        flagged = {flag["code"] for flag in record["flags"]}
        wrong = any(row["error"] > row["bound"] for row in rows if row["role"] == "engine")
        assert ("wrong_product" in flagged) == wrong, key
        if not key.startswith("int8"):  # whose oneDNN kernel saturates on a CPU without VNNI
            assert not wrong, rows
    page = (tmp_path / "reports/gemm/index.html").read_text()
    assert 'data-figure="gemm-speedup"' in page
