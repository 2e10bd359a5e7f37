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

import standins
from omegaconf import OmegaConf

from harness.engines.environment import locked
from harness.paths import conf_dir

ROOT = Path(os.environ.get("HARNESS_WHEELS", "~/.cache/harness/wheels")).expanduser()
ENGINES = ("vllm_sparse", "vllm", "vllm_sparse_marlin", "vllm_bitsandbytes")  # conf/engine/NAME.yaml
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
        for line in wanted["install"]:
            uv("pip", "install", "--quiet", "--python", str(interpreter), *shlex.split(line))
        marker.write_text(content)
    return interpreter


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


def probe(
    engine: str, gpu: str, cases: list[dict], out: Path, env: dict[str, str] | None = None, gpus: int = 1
) -> dict:
    """{case name: its result}, one process for all cases; a case's log is OUT/NAME.log."""
    out.mkdir(parents=True, exist_ok=True)
    spec = out / "spec.json"
    spec.write_text(json.dumps({"cases": cases}))
    environment = standins.environment(libraries(engine), gpu, gpus) | offline() | (env or {})
    with (out / "process.log").open("w") as log:
        subprocess.run(
            [python(engine), PROBE, spec, out], env=environment, stdout=log, stderr=log, timeout=TIMEOUT_S, check=True
        )
    return {case["name"]: json.loads((out / f"{case['name']}.json").read_text()) for case in cases}


def offline() -> dict[str, str]:
    return {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_CACHE_ROOT": str(ROOT / "vllm-cache")}
