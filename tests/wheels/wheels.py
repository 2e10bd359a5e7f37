"""Environments with the CUDA wheels, as conf/engine/*.yaml install them, and processes in them with the stand-ins.

uv installs them, because it hard-links equal packages of several environments: four full environments take 23 GB
instead of 35. They are kept apart from those that the harness makes for runs.
"""

import json
import os
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

from omegaconf import OmegaConf

from harness.engines import engine_class
from harness.engines.environment import locked
from harness.engines.vllm import NEEDS_PYTHON
from harness.paths import conf_dir
from harness.sweeps.composing.compose import compose_sweep
from tests.wheels import standins

ROOT = Path(os.environ.get("HARNESS_WHEELS", "~/.cache/harness/wheels")).expanduser()
ENGINES = ("vllm_sparse", "vllm", "vllm_sparse_marlin", "vllm_bitsandbytes")  # conf/engine/NAME.yaml
SGLANG_IMPORTS = (
    "torch==2.13.0",
    "transformers==5.19.0",
    "msgspec",
    "numpy",
    "packaging",
    "psutil",
    "pydantic",
    "requests",
    "orjson",
    "pyzmq",
    "pybase64",
    "aiohttp",
    "fastapi",
    "uvicorn",
    "uvloop",
    "pillow",
    "tqdm",
    "IPython",
)
OVERRIDES = 'ray ; python_version < "3"\n'  # leaves it out: with CuPy, 440 MB of 0.15.1 for clusters alone
CONSTRAINTS = "cuda-python>=12.8\n"  # older releases contain a cuda.bindings, and overwrite that of cuda-bindings
ANY_MODEL = ("+sweep=which_compression", "model=any")
PROBE = Path(__file__).with_name("probe.py")
TIMEOUT_S = 1200


def installed(engine: str) -> dict:
    return OmegaConf.to_container(OmegaConf.load(conf_dir() / "engine" / f"{engine}.yaml").environment)


@cache
def python(engine: str) -> Path:
    """The interpreter of an engine's environment; make the environment first where it is missing or out of date."""
    wanted = installed(engine)
    home = ROOT / wanted["name"]
    interpreter, marker = home / "bin" / "python", home / "complete"
    content = json.dumps([wanted, list(sys.version_info[:2])])
    with locked(ROOT / f"{wanted['name']}.lock"):
        if marker.exists() and marker.read_text() == content:
            return interpreter
        uv("venv", "--quiet", "--clear", "--python", sys.executable, str(home))
        (home / "overrides.txt").write_text(OVERRIDES)
        (home / "constraints.txt").write_text(CONSTRAINTS)
        limits = ("--overrides", str(home / "overrides.txt"), "--constraints", str(home / "constraints.txt"))
        for line in wanted["install"]:
            install = ("pip", "install", "--quiet", "--compile-bytecode", "--python", str(interpreter))
            uv(*install, *limits, *shlex.split(line))
        if sys.version_info < NEEDS_PYTHON.get(compose_sweep([*ANY_MODEL, f"engine={engine}"]).engine.version, ()):
            uv("pip", "uninstall", "--quiet", "--python", str(interpreter), "flashinfer-python")  # cannot be imported
        marker.write_text(content)
    return interpreter


def sglang() -> Path:
    """An interpreter with SGLang's argument parser: the wheel, and of its packages those that the parser imports.

    torch is the release of vllm's environment, which takes no space twice.
    """
    (requirement,) = installed("sglang")["install"]
    home = ROOT / installed("sglang")["name"]
    interpreter, marker = home / "bin" / "python", home / "complete"
    content = json.dumps([requirement, SGLANG_IMPORTS, list(sys.version_info[:2])])
    with locked(ROOT / f"{home.name}.lock"):
        if not marker.exists() or marker.read_text() != content:
            uv("venv", "--quiet", "--clear", "--python", sys.executable, str(home))
            install = ("pip", "install", "--quiet", "--compile-bytecode", "--python", str(interpreter))
            uv(*install, "--no-deps", requirement)
            uv(*install, *SGLANG_IMPORTS)
            marker.write_text(content)
    return interpreter


def size_gb() -> float:
    """Disk of all that is under ROOT; a file with several hard links counts once."""
    done = subprocess.run(["du", "-s", "--block-size=1000000", ROOT], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[0]) / 1000


def uv(*arguments: str) -> None:
    from uv import find_uv_bin

    environment = {**os.environ, "UV_CACHE_DIR": str(ROOT / "uv-cache"), "UV_LINK_MODE": "hardlink"}
    subprocess.run([find_uv_bin(), *arguments], env=environment, check=True)


def site_packages(engine: str) -> Path:
    (found,) = (python(engine).parents[1] / "lib").glob("python3.*/site-packages")
    return found


@cache
def libraries(engine: str) -> Path:
    return standins.build(ROOT / "standins" / installed(engine)["name"], site_packages(engine))


def probe(engine: str, gpu: str, cases: list[dict], out: Path, gpus: int = 8) -> dict[str, dict]:
    """{case name: its result}, one process for all cases; a case's log, as a server of the harness writes it, is
    OUT/NAME.log.
    """
    out.mkdir(parents=True, exist_ok=True)
    spec = out / "spec.json"
    spec.write_text(json.dumps({"cases": cases}))
    environment = standins.environment(libraries(engine), gpu, gpus) | server_environment(engine, out / "process.log")
    with (out / "process.log").open("w") as log:
        subprocess.run(
            [python(engine), PROBE, spec, out], env=environment, stdout=log, stderr=log, timeout=TIMEOUT_S, check=True
        )
    return {case["name"]: json.loads((out / f"{case['name']}.json").read_text()) for case in cases}


def server_environment(engine: str, log: Path) -> dict[str, str]:
    """The variables with which the harness starts this engine, and where vLLM keeps what it knows of architectures."""
    config = compose_sweep([*ANY_MODEL, f"engine={engine}"]).engine
    started = engine_class(config.kind)(config, ROOT).server_env(log) | config.env
    return {"HF_HUB_OFFLINE": "1", "VLLM_CACHE_ROOT": str(ROOT / "vllm-cache"), "OMP_NUM_THREADS": "1", **started}
