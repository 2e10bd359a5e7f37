"""The quickstart with fewer cells, and a judge beside it that the engine serves: nothing here is a stand-in.

The sweep runs with a variant that its engine refuses to serve, then again without that variant and with a judge, and
once more.

The first run installs the engine (vLLM on CPU) and the compression tools into the cache, and makes the checkpoints;
later runs find them there.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.engine, pytest.mark.timeout(3000)]

SMALL = [
    "+sweep=quickstart",
    "name=small",
    "variant=[bf16,fp8_dynamic,w4a16]",
    "scenario=[code_completion_64_24]",
    "suites.perplexity.items=2",
    "suites.mmlu.items=8",
    "suites.gsm8k.items=4",
    "suites.gsm8k.max_tokens=80",
    "suites.humaneval.items=2",
    "suites.humaneval.max_tokens=48",
    "suites.alpaca_eval.items=3",
    "suites.alpaca_eval.max_tokens=32",
    "load.single_stream_requests=3",
    "load.rates_rps=[2]",
    "load.duration_s=2",
    "load.repeats=1",
    "noise_runs=1",
    "progress=plain",
]
CELLS = 3 * (3 + 5) + 5 + 2  # variants x (load points + suites) + the baseline's suites again + judged variants


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("small")


def first_layers(model: Path, folder: Path, layers: int = 10) -> Path:
    """A model of the first third of another's layers: as a judge near chance, and it needs no second import."""
    shutil.copytree(model, folder, ignore=shutil.ignore_patterns("*.safetensors", ".content", "harness.json"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": layers}))
    left_out = tuple(f"model.layers.{layer}." for layer in range(layers, config["num_hidden_layers"]))
    weights = (model / "model.safetensors").read_bytes()
    body = 8 + int.from_bytes(weights[:8], "little")
    header, data = {}, b""
    for name, facts in json.loads(weights[8:body]).items():
        if "data_offsets" in facts and not name.startswith(left_out):
            begin, end = facts["data_offsets"]
            header[name] = facts | {"data_offsets": [len(data), len(data) + end - begin]}
            data += weights[body + begin : body + end]
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + data)
    return folder


def run(folder: Path, *more: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "harness", *SMALL, *more]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=2900, check=False)


def stored(folder: Path) -> dict[str, dict]:
    found = [json.loads(path.read_text()) for path in (folder / "results/small/cells").glob("*/record.json")]
    return {record["cell"]["key"]: record for record in found}


@pytest.fixture(scope="module")
def broken(folder) -> tuple[subprocess.CompletedProcess, set[str]]:
    """The sweep with a variant whose engine dies at its start, and the variants that have cells then."""
    refused = ("variant=[bf16,fp16,fp8_dynamic,w4a16]", "variants.fp16.engine_args=[--quantization,no_such_method]")
    done = run(folder, *refused, "mlflow.enabled=false")
    return done, {record["cell"]["variant"] for record in stored(folder).values()}


@pytest.fixture(scope="module")
def judge(broken, folder) -> tuple[str, ...]:
    checkpoint = stored(folder)["bf16/mmlu"]["engine"]["checkpoint"]
    judge = first_layers(Path.home() / checkpoint["location"], folder / "judge")
    return (f"judge.model={judge}", "judge.prompt=few_shot", "judge.calibration_items=4")


@pytest.fixture(scope="module")
def done(judge, folder) -> subprocess.CompletedProcess:
    return run(folder, *judge)


@pytest.fixture(scope="module")
def records(done, folder) -> dict[str, dict]:
    return stored(folder)


def test_a_variant_whose_engine_dies_does_not_take_the_others_along(broken, folder):
    said, variants = broken
    assert said.returncode == 1
    assert "no_such_method" in said.stdout, "the end of the engine's log is in the error"
    assert "Traceback" not in said.stderr
    assert variants == {"bf16", "fp8_dynamic", "w4a16"}
    assert (folder / "reports/small/index.html").is_file()


def test_the_sweep_completes_and_says_where_to_look(done, records):
    assert done.returncode == 0, done.stdout + done.stderr[-4000:]
    assert "reports/small/index.html" in done.stdout
    assert "mlflow ui --backend-store-uri sqlite:///mlflow.db" in done.stdout
    assert len(records) == CELLS


def test_what_ran_is_in_the_record(records):
    engine = records["fp8_dynamic/code_completion_64_24/throughput_r0"]["engine"]
    assert engine["version"].startswith("0.32")
    assert any(entry["emulated"] and "FP8" in entry["kernel"] for entry in engine["kernels"])
    flags = {flag["code"] for flag in records["fp8_dynamic/code_completion_64_24/throughput_r0"]["flags"]}
    assert "emulated_kernel" in flags
    int4 = records["w4a16/mmlu"]["engine"]
    assert any("WNA16" in entry["layer"] for entry in int4["kernels"])
    sizes = {v: records[f"{v}/mmlu"]["engine"]["checkpoint"]["size_bytes"] for v in ("bf16", "fp8_dynamic", "w4a16")}
    assert sizes["bf16"] > sizes["fp8_dynamic"] > sizes["w4a16"]


def test_the_model_speaks_and_the_arithmetic_is_right(records, folder):
    """The engine's own faults show here: with vLLM's AMX attention this model answers nonsense, and solves nothing."""
    from harness.records.store import Store

    store = Store(folder / "results/small")
    for variant in ("bf16", "fp8_dynamic"):
        rows = store.rows(records[f"{variant}/gsm8k"]["fingerprint"])
        assert len(rows) == 4
        assert sum("####" in row["response"] for row in rows) >= 2, "the few-shot form is followed"
    answered = {v: store.rows(records[f"{v}/alpaca_eval"]["fingerprint"]) for v in ("bf16", "w4a16")}
    answers = {v: {r["id"]: r["response"] for r in rows} for v, rows in answered.items()}
    assert answers["bf16"].keys() == answers["w4a16"].keys()
    assert all(len(text.split()) > 5 for text in answers["bf16"].values())


def test_load_is_measured_from_the_kernels_time_stamps(records):
    result = records["bf16/code_completion_64_24/single_stream_r0"]["result"]
    assert result["requests_completed"] == 3 and result["completion_tokens"] == 72
    assert result["timestamps"] == "kernel"
    assert 0 < result["itl_ms_p50"] < result["ttft_ms_p50"] * 10 < result["e2e_ms_p50"] * 100
    assert result["prefix_cache_hit_rate"] in (None, 0.0)


def test_the_judge_is_measured_before_it_is_believed(records):
    details = records["w4a16/alpaca_eval/judge"]["result"]["details"]
    assert details["judge"].endswith("judge")
    assert 0 <= details["calibration"]["accuracy"] <= 1
    assert details["calibration"]["low"] <= details["calibration"]["accuracy"] <= details["calibration"]["high"]


def test_the_same_command_again_starts_no_engine(done, judge, folder):
    page = (folder / "reports/small/index.html").read_bytes()
    logs = {path: path.stat().st_size for path in (folder / "results/small/logs").glob("*.log")}
    again = run(folder, *judge)
    assert again.returncode == 0
    assert "starting the engine" not in again.stderr
    assert (folder / "reports/small/index.html").read_bytes() == page
    assert all(path.stat().st_size == size for path, size in logs.items() if path.name != "harness.log")


def test_mlflow_has_one_parent_and_a_child_a_variant(done, folder):
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{folder}/mlflow.db")
    experiment = client.get_experiment_by_name("harness")
    runs = client.search_runs([experiment.experiment_id])
    histories = [run for run in runs if "harness.history" in run.data.tags]
    alone = [run for run in runs if "mlflow.parentRunId" not in run.data.tags and run not in histories]
    children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    assert (len(alone), len(children), len(histories)) == (1, 3, 3), "the sweep, its variants, and their histories"
    for child in children:
        assert child.data.metrics["accuracy/mmlu"] >= 0
        assert any(name.startswith("serving_code_completion_64_24/itl_ms") for name in child.data.metrics)
