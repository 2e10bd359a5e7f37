"""A simulated engine: rehearses a sweep without a GPU, and tests what measures. Its numbers say nothing of a model."""

import contextlib
import hashlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import __version__
from harness.engines import Deployment, Server
from harness.engines.dialect import VLLM
from harness.engines.endpoint import list_models
from harness.engines.process import ServerProcess, free_port, port_in_use
from harness.engines.simulated.roofline import HARDWARE, SCHEMES, SHAPES, problems
from harness.errors import EngineError, did_you_mean

MODULE = "harness.engines.simulated.server"


@dataclass
class SimulatedConfig:
    """`schemes`: variant -> scheme of roofline.py. With `gap_ms` set, tokens come on a fixed schedule instead."""

    kind: str = "simulated"
    hardware: str = "h100"
    shape: str = "llama-3.1-8b"
    schemes: dict[str, str] = field(default_factory=dict)
    max_num_seqs: int = 256
    max_num_batched_tokens: int = 8192
    max_model_len: int = 16384
    jitter: float = 0.02  # standard deviation of the logarithm of a step's duration
    seed: int = 0
    gap_ms: float | None = None  # token k is due at arrival + ttft_ms + k * gap_ms, whatever the load
    ttft_ms: float = 0.0
    port: int | None = None  # null: a free one
    startup_timeout_s: float = 30.0
    stop_grace_s: float = 5.0


class Simulated:
    Config = SimulatedConfig
    label = "the simulated engine"
    dialect = VLLM
    loads_weights = False
    weights = "safetensors"

    def __init__(self, config: SimulatedConfig, cache_dir: Path):
        self.config = config

    def fingerprint(self) -> dict[str, Any]:
        c = self.config
        code = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
        facts = {"kind": "simulated", "code": hashlib.sha256(code).hexdigest(), "max_num_seqs": c.max_num_seqs}
        facts |= {"max_num_batched_tokens": c.max_num_batched_tokens, "max_model_len": c.max_model_len}
        return facts | {"jitter": c.jitter, "seed": c.seed, "gap_ms": c.gap_ms, "ttft_ms": c.ttft_ms}

    def deployment_fingerprint(self, deployment: Deployment) -> dict[str, Any]:
        c = self.config
        return {"hardware": c.hardware, "shape": c.shape, "scheme": c.schemes.get(deployment.name)}

    def problems(self) -> list[str]:
        c, found = self.config, []
        for setting, value, known in (("hardware", c.hardware, HARDWARE), ("shape", c.shape, SHAPES)):
            if value not in known:
                found.append(f"engine.{setting}={value}: not known{did_you_mean(value, list(known))}")
        if not 1 <= c.max_num_seqs <= c.max_num_batched_tokens:
            found.append(
                f"engine.max_num_seqs={c.max_num_seqs} must be at least 1 and at most engine.max_num_batched_tokens="
                f"{c.max_num_batched_tokens}: each sequence that decodes takes a token of every step"
            )
        if c.jitter < 0 or c.ttft_ms < 0 or (c.gap_ms is not None and c.gap_ms < 0):
            found.append("engine.jitter, engine.ttft_ms and engine.gap_ms must not be negative")
        if c.port is not None and port_in_use(c.port):
            found.append(f"engine.port {c.port} is in use by another process; leave engine.port=null for a free one")
        return found

    def deployment_problems(self, names: Sequence[str]) -> list[str]:
        c, found = self.config, []
        for name in names:
            scheme = c.schemes.get(name)
            if scheme is None:
                found.append(f"variant {name} has no scheme to simulate; set +engine.schemes.{name}=SCHEME, "
                             f"one of {', '.join(SCHEMES)}")  # fmt: skip
            elif scheme not in SCHEMES:
                found.append(f"engine.schemes.{name}={scheme}: no such scheme{did_you_mean(scheme, list(SCHEMES))}")
            elif c.hardware in HARDWARE and c.shape in SHAPES and c.gap_ms is None:
                found += [f"variant {name}: {why}" for why in problems(c.hardware, scheme, c.shape)]
        return found

    def prepare(self, log: Path) -> None:
        return None

    def command(self, deployment: Deployment, port: int | None = None) -> list[str]:
        c = self.config
        command = [sys.executable, "-m", MODULE, "--model", deployment.name, "--port", str(port or c.port or "PORT")]
        command += ["--max-model-len", str(c.max_model_len), "--seed", str(c.seed)]
        if c.gap_ms is not None:
            return [*command, "--gap-ms", str(c.gap_ms), "--ttft-ms", str(c.ttft_ms)]
        command += ["--hardware", c.hardware, "--shape", c.shape, "--scheme", c.schemes.get(deployment.name, "SCHEME")]
        command += ["--max-num-seqs", str(c.max_num_seqs), "--max-num-batched-tokens", str(c.max_num_batched_tokens)]
        return [*command, "--jitter", str(c.jitter)]

    @contextlib.contextmanager
    def serve(self, deployment: Deployment, log: Path) -> Iterator[Server]:
        port = self.config.port or free_port()
        if port_in_use(port):
            raise EngineError(f"variant {deployment.name}: port {port} is in use; set engine.port=null for a free one")
        command = self.command(deployment, port)
        base_url = f"http://127.0.0.1:{port}"
        process = ServerProcess(command, {}, log, self.config.stop_grace_s)
        try:
            what = f"variant {deployment.name}: the simulated engine"
            server = Server(base_url, deployment.name)
            process.wait_ready(lambda: _answers(server), self.config.startup_timeout_s, what)
            if deployment.name not in (available := list_models(server)):
                raise EngineError(f"{what} at {base_url} serves {available}; another server took its port?")
            facts = {"kind": "simulated", "version": __version__, "command": command, "log": str(log), "kernels": []}
            yield Server(base_url, deployment.name, None, facts | self.deployment_fingerprint(deployment))
        finally:
            process.stop()

    def reset_prefix_cache(self, server: Server) -> bool:
        return True  # it has none


def _answers(server: Server) -> bool:
    try:
        return bool(list_models(server))
    except EngineError:
        return False
