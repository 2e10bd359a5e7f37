"""A model by id and revision, its compression's calibration data and a scenario's text, through the hub's protocol."""

import json
import re
from pathlib import Path

from tests.hub.contents import CALIBRATION, JUDGE, MODEL, ROOT, tiny_llama
from tests.hub.repositories import Repository
from tests.hub.server import Fault
from tests.hub.user import TOKEN
from tests.unit.checkpoints import built

WORKER = ROOT / "harness" / "checkpoints" / "workers" / "compress" / "calibration.py"
CHAT = ROOT / "scenarios" / "corpus" / "chat.jsonl"
CALIBRATE = """
import json, runpy, sys
from transformers import AutoTokenizer
asked = json.loads(sys.argv[2])
texts = runpy.run_path(sys.argv[1])["texts"](asked, AutoTokenizer.from_pretrained(asked["model"], revision="v1"))
print(json.dumps(texts))
"""
SMALL = (
    *("suite=[gsm8k]", "suites.gsm8k.items=4", "suites.gsm8k.max_tokens=8", "concurrency=4"),
    *("scenario=[chat_96_16]", "load.capacity.probes=0", "load.rates_rps=[20]", "load.duration_s=0.5"),
    *("load.min_requests=8", "load.single_stream_requests=4", "load.throughput_requests=8"),
)


def calibrate(python, **settings):
    asked = {"model": MODEL, "samples": 32, "seed": 0, "max_tokens": 64, "revision": None, "split": "train_sft"}
    return python("-c", CALIBRATE, str(WORKER), json.dumps(asked | settings))


def test_calibration_reads_the_hubs_dialogues_as_it_reads_a_file(hub, python):
    found = calibrate(python, dataset=CALIBRATION)
    assert found.returncode == 0, found.stderr
    texts = json.loads(found.stdout.splitlines()[-1])
    assert len(texts) == 32 and all(text.startswith("<|") for text in texts)
    assert texts == json.loads(calibrate(python, file=str(CHAT)).stdout.splitlines()[-1])
    v1 = hub.repositories["model", MODEL].refs["v1"]
    files = {asked.path for asked in hub.asked if f"/{MODEL}/resolve/" in asked.path}
    assert files and all("/resolve/v1/" in path or v1 in path for path in files), files


def test_calibration_that_the_hub_refuses_is_one_line(hub, python):
    repository = hub.repositories["dataset", CALIBRATION]
    repository.gated = "manual"
    try:
        done = calibrate(python, dataset=CALIBRATION)
    finally:
        repository.gated = False
    assert done.returncode == 1
    said = f"calibration: dataset {CALIBRATION} is gated, and no token is set; accept its terms at "
    said += f"https://huggingface.co/datasets/{CALIBRATION}, then export a token of that account as HF_TOKEN, "
    assert done.stderr.splitlines()[-1] == said + "or set calibration.file to JSON lines with `messages`"


def test_a_study_of_hub_ids_is_written_and_its_dry_run_finds_no_problem(hub, python, tmp_path, monkeypatch):
    """Formats and sizes are read from the hub's files; the plan names the quantized checkpoint."""
    quantized = tmp_path / "fp8"
    sizes = {"hidden_size": built.HIDDEN, "num_hidden_layers": built.LAYERS, "max_position_embeddings": 4096}
    built.checkpoint(quantized, "fp8", said=built.config("fp8") | sizes)
    built.checkpoint(tmp_path / "bf16", "bf16", said=built.config("bf16") | sizes)
    ids = {"acme/small-llama": "bf16", "acme/small-llama-FP8": "fp8"}
    tokenizer = {name: data for name, data in tiny_llama(1).items() if "token" in name or "template" in name}
    for name, folder in ids.items():
        files = {path.name: path.read_bytes() for path in (tmp_path / folder).iterdir()}
        hub.add(Repository("model", name)).commit(files | tokenizer)
    monkeypatch.chdir(tmp_path)
    try:
        done = python("-m", "harness", "study", *ids)
        assert done.returncode == 0, done.stderr
        written = (tmp_path / "conf/sweep/small_llama.yaml").read_text()
        assert "checkpoint: acme/small-llama-FP8" in written and "recipe: null" in written
        planned = python("-m", "harness", "+sweep=small_llama", "dry_run=cells", f"cache_dir={tmp_path / 'cache'}")
    finally:
        for name in ids:
            del hub.repositories["model", name]
    assert planned.returncode == 0, planned.stdout + planned.stderr
    assert "acme/small-llama-FP8" in planned.stdout and "problem" not in planned.stdout


def test_which_compression_is_planned_and_passes_preflight_with_a_hub_id(hub, python, tmp_path):
    own = [f"{name}_dir={tmp_path / name}" for name in ("cache", "results", "reports")]
    study = ["-m", "harness", "+sweep=which_compression", f"model={MODEL}", *own]
    cpu = ["engine=vllm_cpu", "compression=llmcompressor_cpu", "variant=[bf16,w4a16_gptq]"]
    cpu += ["variants.w4a16_gptq.scheme.weights.group_size=64", "suites.perplexity.window=1024"]
    planned = python(*study, *cpu, "dry_run=cells", "hardware.min_free_disk_gb=1")
    assert planned.returncode == 0, planned.stderr
    assert f"{MODEL}" in planned.stdout and "0 cached" in planned.stdout
    done = python(*study, *cpu, "hardware.min_free_disk_gb=1000000")
    problems = re.findall(r"^  \d+\. (.*)$", done.stderr, re.MULTILINE)
    assert done.returncode == 2 and len(problems) == 1 and "1e+06 GB wanted" in problems[0], done.stderr
    assert not (tmp_path / "results").exists()


def test_which_compression_runs_with_hub_ids_and_again_offline(hub, python, tmp_path):
    fixed = ["engine=simulated", "variant=[bf16,w4a16_gptq]", "noise_runs=0", "mlflow.enabled=false"]
    text = f"scenarios.chat_96_16.text=hub:{CALIBRATION}:train_sft:messages"

    def study(name: str, *changes: str, **more: str):
        own = [f"{folder}_dir={tmp_path / folder}" for folder in ("cache", "results", "reports")]
        command = ["-m", "harness", "+sweep=which_compression", f"model={MODEL}@v1", f"name={name}", "progress=plain"]
        return python(*command, *fixed, *SMALL, text, *own, *changes, **more)

    done = study("online")
    assert done.returncode == 0, done.stdout + done.stderr
    records = [json.loads(path.read_text()) for path in (tmp_path / "results/online/cells").glob("*/record.json")]
    assert {record["cell"]["key"].split("/")[1] for record in records} == {"gsm8k", "chat_96_16"}
    v1 = hub.repositories["model", MODEL].refs["v1"]
    blobs = tmp_path / "hf" / "hub" / f"models--{MODEL.replace('/', '--')}" / "snapshots"
    assert [path.name for path in blobs.iterdir()] == [v1]
    hub.asked.clear()
    again = study("online", HF_HUB_OFFLINE="1")
    assert again.returncode == 0 and "measured already" in again.stdout + again.stderr, again.stdout + again.stderr
    offline = study("offline", "variant=[bf16]", HF_HUB_OFFLINE="1")
    assert offline.returncode == 0, offline.stdout + offline.stderr
    assert not hub.asked


def test_inspection_reads_the_revision_that_is_named(hub, python):
    shas = hub.repositories["model", MODEL].refs
    for revision in ("v1", "main"):
        hub.asked.clear()
        done = python("-m", "harness.inspect", f"{MODEL}@{revision}", "--engine", "vllm==0.32.0")
        assert done.returncode == 0, done.stdout + done.stderr
        asked = [request.path for request in hub.asked if "/resolve/" in request.path]
        assert asked and all(shas[revision] in path for path in asked)


def test_a_page_of_the_hub_has_no_escape_of_its_own(hub, python):
    """What a server says stays text: no control characters of it reach the terminal."""
    hub.tokens = {TOKEN}
    hub.faults = [Fault("/api/models", status=403, headers={"X-Error-Message": "no \x1b[31m" + TOKEN})]
    done = python("-m", "harness.inspect", JUDGE, HF_TOKEN=TOKEN)
    assert done.returncode == 2 and "\x1b" not in done.stderr and "403" in done.stderr


def test_humaneval_is_kept_only_when_it_is_whole(hub, python, tmp_path):
    load = "from harness.accuracy.humaneval.published_rows import load_problems\n"
    load += "from harness.accuracy.datasets import Source\n"
    load += "from harness.errors import HarnessError\n"
    load += "try:\n    print(len(load_problems(Source('hub', 'x', None))))\n"
    load += "except HarnessError as error:\n    raise SystemExit(f'error: {error}')\n"
    kept = tmp_path / "xdg" / "evalplus"

    hub.faults = [Fault("/releases/", cut=0.5)]
    done = python("-c", load)
    assert done.returncode == 1 and "closed the connection after" in done.stderr and not list(kept.glob("*"))
    hub.faults = [Fault("/releases/", data=b"\x1f\x8b no gzip")]
    done = python("-c", load)
    assert "the file is not gzip data, or is cut" in done.stderr and not list(kept.glob("*"))
    hub.faults = [Fault("/releases/", status=503, times=1)]
    done = python("-c", load)
    assert done.returncode == 0 and int(done.stdout) > 0, done.stderr
    assert [path.name for path in kept.iterdir()] == ["HumanEvalPlus-v0.1.10.jsonl"]
    assert Path(kept / "HumanEvalPlus-v0.1.10.jsonl").stat().st_size > 1000
