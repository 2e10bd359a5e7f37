"""Preflight and a whole sweep through the command line, on a machine whose NVML is a stand-in."""

import gzip
import json
from pathlib import Path

import pytest

SWEEP = (
    "+sweep=hopper_sparse_fp8",
    *("variant=[bf16,sparse24_fp8]", "suite=[]", "judge=null", "scenario=[instruction_256_128]"),
    *("scenarios.instruction_256_128.text=prose", "mlflow.enabled=false", "progress=plain"),
)
# The simulated engine as if it were on the GPUs: no engine that loads weights on CUDA runs where NVML is a stand-in.
ON_GPUS = (
    "import sys; from harness.sweeps import session_gpus; from harness.sweeps.command import main\n"
    "session_gpus.on_gpus = lambda *_: True; sys.exit(main())"
)


def places(tmp_path: Path) -> tuple[str, ...]:
    return (f"cache_dir={tmp_path}/cache", f"results_dir={tmp_path}/results", f"reports_dir={tmp_path}/reports")


@pytest.fixture
def preflight(standin, tiny_model, tmp_path):
    def run(*more: str, **environment: str) -> str:
        settings = [*SWEEP, *places(tmp_path), f"model={tiny_model}", "variant=[bf16]", "hardware.min_free_disk_gb=0.1"]
        settings.append(f"variants.bf16.checkpoint={tiny_model}")
        done = standin.run("-m", "harness", *settings, *more, **environment)
        assert done.returncode == 2 and "Traceback" not in done.stderr, done.stdout + done.stderr
        return done.stderr

    return run


def test_a_foreign_process_is_a_preflight_error_on_the_gpus_that_are_used(preflight, standin):
    standin.state.write_text("pid 0 1 40200000000\npid 1 1 9000000000\n")
    found = preflight()
    assert "GPU 0 (Stand-in 100): process 1 (" in found
    assert ") holds 40.2 GB; stop it, or choose other GPUs with CUDA_VISIBLE_DEVICES" in found
    assert "GPU 1 " not in found, "the server takes one GPU, the first"
    found = preflight("+engine.env.CUDA_VISIBLE_DEVICES=1")
    assert "GPU 1 (Stand-in 100): process 1 (" in found and "GPU 0 " not in found
    found = preflight("variants.bf16.gpus=2")
    assert "GPU 0 (Stand-in 100): process 1 (" in found and "GPU 1 (Stand-in 100): process 1 (" in found
    found = preflight("executor.gpus=[1]")
    assert "GPU 1 (Stand-in 100): process 1 (" in found and "GPU 0 " not in found
    found = preflight("variants.bf16.gpus=2", "executor.gpus=[1]")
    assert "bf16 is served on 2 GPUs; 1 are free or named in executor.gpus" in found
    found = preflight("variants.bf16.gpus=2", "executor.parallel=1")
    assert "GPU 0 (Stand-in 100): process 1 (" in found and "GPU 1 (Stand-in 100): process 1 (" in found


def test_the_plan_is_for_the_free_gpus_of_one_model(standin, tiny_model, tmp_path):
    settings = [*SWEEP, *places(tmp_path), f"model={tiny_model}", "dry_run=true"]
    said = standin.run("-m", "harness", *settings).stdout
    assert "of 2 GPUs: 2 sessions, about " in said, "the third GPU is in MIG mode"
    standin.state.write_text("pid 1 1 9000000000\n")
    assert "GPUs: 2 sessions" not in standin.run("-m", "harness", *settings).stdout
    said = standin.run("-m", "harness", *settings, "executor.gpus=[0,9]").stdout
    assert "executor.gpus: this machine has no GPU 9; its GPUs: 0: GPU-0" in said


def test_gpus_that_cuda_will_not_see_are_a_preflight_error(preflight):
    found = preflight("variants.bf16.gpus=2", CUDA_VISIBLE_DEVICES="1,7")
    assert "CUDA_VISIBLE_DEVICES=1,7: no GPU, or more than one, is called '7'" in found
    assert "bf16 is to be served on 2 GPU(s), and CUDA sees 1 of the 3 here; CUDA_VISIBLE_DEVICES=1,7" in found


def test_a_gpu_that_is_lost_is_a_preflight_error(preflight, standin):
    standin.state.write_text("lost 1\n")
    assert "NVML: GPU is lost: a GPU of this machine is not well, nvidia-smi says which" in preflight()


def test_a_sweep_carries_its_telemetry_to_the_report(standin, tiny_model, tmp_path):
    standin.state.write_text("reasons 0 4\n")
    settings = [*SWEEP, *places(tmp_path), f"model={tiny_model}", "engine=simulated", "load.repeats=1"]
    settings += ["load.rates_rps=[20]", "load.duration_s=0.5", "load.min_requests=8"]
    settings += ["load.single_stream_requests=2", "load.throughput_requests=8", "load.retries=9"]
    done = standin.run("-c", ON_GPUS, *settings)
    assert done.returncode == 0, done.stdout + done.stderr
    cells = sorted((tmp_path / "results/hopper_sparse_fp8/cells").glob("*--*"))  # without their earlier tries
    assert len(cells) == 6
    for cell in cells:
        record = json.loads((cell / "record.json").read_text())
        telemetry, result = record["telemetry"], record["result"]
        start_s, end_s = telemetry["window_s"]
        assert end_s - start_s >= result["duration_s"]
        assert telemetry["energy_j"] == pytest.approx(300 * (end_s - start_s), rel=0.02), "the stand-in draws 300 W"
        tokens = telemetry["energy_j"] / result["completion_tokens"]
        assert telemetry["energy_j_per_output_token"] == pytest.approx(tokens)
        capped = "gpu_power_capped" in {flag["code"] for flag in record["flags"]}
        assert capped == (telemetry["gpus"][0]["busy_samples"] >= 2), "one sample is too few to say so"
        with gzip.open(cell / "telemetry.jsonl.gz", "rt") as file:
            rows = [json.loads(line) for line in file]
        assert len(rows) == telemetry["gpus"][0]["samples"] > 0
    report = tmp_path / "reports/hopper_sparse_fp8"
    page, summary = (report / "index.html").read_text(), json.loads((report / "summary.json").read_text())
    assert '<section id="energy"' in page and "gpu_power_capped" in page
    assert "power limit 500 W (shipped with 700 W)" in page and "persistence mode on" in page
    assert len(summary["energy"]) == 6 and all(e["power_w_mean"] for e in summary["energy"])
    gains = [e["output_tokens_per_j_gain"] for e in summary["energy"] if e["variant"] == "sparse24_fp8"]
    assert all(gain["value"] > 0 for gain in gains)
