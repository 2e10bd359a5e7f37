"""vLLM in an environment of its own, started as `python -m vllm.entrypoints.openai.api_server`.

(The `vllm` command of the CPU wheel does not run; the module works for every build.)
"""

import contextlib
import hashlib
import json
import os
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.deployments import Axes
from harness.engines import Deployment, Server, environment
from harness.engines.endpoint import list_models
from harness.engines.environment import EnvironmentConfig
from harness.engines.kernels import read_kernels
from harness.engines.process import ServerProcess, free_port, port_in_use
from harness.errors import ConfigError, EngineError, did_you_mean

PLUGINS = Path(__file__).with_name("plugins")
MODULE = "vllm.entrypoints.openai.api_server"
AXES = {
    "tensor_parallel": "--tensor-parallel-size",
    "replicas": "--data-parallel-size",
    "kv_cache_dtype": "--kv-cache-dtype",
    "max_num_seqs": "--max-num-seqs",
    "max_num_batched_tokens": "--max-num-batched-tokens",
}
KV_CACHE_DTYPES = (  # CacheDType of vllm/config/cache.py, 0.32.0
    *("auto", "float16", "bfloat16", "fp8", "fp8_e4m3", "fp8_e5m2", "fp8_inc", "fp8_ds_mla", "nvfp4_ds_mla"),
    *("turboquant_k8v4", "turboquant_4bit_nc", "turboquant_k3v4_nc", "turboquant_3bit_nc", "ultraquant_4bit"),
    *("int4_per_token_head", "int8_per_token_head", "fp8_per_token_head", "nvfp4", "nvfp4_4over6"),
)


@dataclass
class VllmConfig:
    kind: str = "vllm"
    version: str = ""  # what `environment` installs; checked against the variants' needs
    device: str = "cuda"  # cuda | cpu | rocm
    environment: EnvironmentConfig = field(default_factory=lambda: EnvironmentConfig(name="vllm"))
    python: str | None = None  # an interpreter that has vLLM, instead of an environment made here
    dtype: str = "bfloat16"
    max_model_len: int = 4096
    args: list[str] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)
    plugins: bool = False  # load harness/engines/plugins into the engine (CPU repairs)
    port: int | None = None  # null: a free one
    startup_timeout_s: float = 900.0
    stop_grace_s: float = 20.0


class Vllm:
    Config = VllmConfig
    loads_weights = True

    def __init__(self, config: VllmConfig, cache_dir: Path):
        self.config = config
        self.cache_dir = cache_dir
        self.environment = EnvironmentConfig(
            config.environment.name,
            config.python or config.environment.python,
            list(config.environment.install),
            list(config.environment.uninstall),
        )

    def fingerprint(self) -> dict[str, Any]:
        c = self.config
        facts = {"kind": "vllm", "environment": environment.fingerprint(self.environment), "version": c.version}
        facts |= {"dtype": c.dtype, "max_model_len": c.max_model_len, "args": list(c.args), "env": dict(c.env)}
        if c.plugins:
            files = sorted(PLUGINS.glob("*.py"))
            facts["plugins"] = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
        return facts

    def deployment_fingerprint(self, deployment: Deployment) -> dict[str, Any]:
        return {}

    def problems(self) -> list[str]:
        found = environment.problems(self.environment)
        if self.config.port is not None and port_in_use(self.config.port):
            found.append(
                f"engine.port {self.config.port} is in use by another process; stop it, or leave engine.port=null "
                "for a free one"
            )
        return found

    def deployment_args(self, axes: Axes) -> list[str]:
        if axes.kv_cache_dtype is not None and axes.kv_cache_dtype not in KV_CACHE_DTYPES:
            raise ConfigError(f"kv_cache_dtype: {axes.kv_cache_dtype!r}"
                              f"{did_you_mean(axes.kv_cache_dtype, list(KV_CACHE_DTYPES))}")  # fmt: skip
        tokens, longest = axes.max_num_batched_tokens, self.config.max_model_len
        if axes.chunked_prefill is False and tokens is not None and tokens < longest:
            raise ConfigError(
                f"chunked_prefill: false with max_num_batched_tokens {tokens}: a prompt of engine.max_model_len="
                f"{longest} would fit no step; raise the one or lower the other"
            )
        args = []
        for axis, flag in AXES.items():
            if (value := getattr(axes, axis)) is not None:
                args += [flag, str(value)]
        if axes.chunked_prefill is not None:
            args.append("--enable-chunked-prefill" if axes.chunked_prefill else "--no-enable-chunked-prefill")
        if axes.speculative is not None:
            args += ["--speculative-config", json.dumps(axes.speculative, sort_keys=True)]
        return args

    def deployment_problems(self, deployments: Sequence[Deployment]) -> list[str]:
        return []

    def is_ready(self) -> bool:
        return environment.is_ready(self.environment, self.cache_dir)

    def prepare(self, log: Path) -> None:
        environment.ensure(self.environment, self.cache_dir, log)

    def command(self, deployment: Deployment, port: int | None = None) -> list[str]:
        c = self.config
        python = environment.python_path(self.environment, self.cache_dir)
        revision = ["--revision", deployment.revision] if deployment.revision else []
        return [
            *(str(python), "-m", MODULE, "--model", deployment.model, "--served-model-name", deployment.name),
            *("--host", "127.0.0.1", "--port", str(port or c.port or "PORT")),
            *("--dtype", c.dtype, "--max-model-len", str(c.max_model_len)),
            *("--generation-config", "vllm"),  # a checkpoint must not bring its own sampling
            *(*revision, *c.args, *deployment.args),
        ]

    @contextlib.contextmanager
    def serve(self, deployment: Deployment, log: Path) -> Iterator[Server]:
        port = self.config.port or free_port()
        command = self.command(deployment, port)
        env = {"VLLM_SERVER_DEV_MODE": "1", "VLLM_NO_USAGE_STATS": "1", **self.config.env}
        if self.config.plugins:
            env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(PLUGINS), os.environ.get("PYTHONPATH")]))
        base_url = f"http://127.0.0.1:{port}"
        if port_in_use(port):
            raise EngineError(f"variant {deployment.name}: port {port} is in use; set engine.port=null for a free one")
        process = ServerProcess(command, env, log, self.config.stop_grace_s)
        try:
            what = f"variant {deployment.name}: vLLM"
            ready_s = process.wait_ready(lambda: _healthy(base_url), self.config.startup_timeout_s, what)
            server = Server(base_url, deployment.name)
            if deployment.name not in (available := list_models(server)):
                raise EngineError(f"{what} at {base_url} serves {available}; another server took its port?")
            facts = {
                "kind": "vllm",
                "version": _version(base_url) or self.config.version,
                "device": self.config.device,
                "dtype": last_argument(command, "--dtype"),
                "command": command,
                "log": str(log),
                "ready_s": round(ready_s, 1),
                "kernels": read_kernels(log, self.config.device),
            }
            yield Server(base_url, deployment.name, None, facts)
        finally:
            process.stop()

    def reset_prefix_cache(self, server: Server) -> bool:
        request = urllib.request.Request(server.base_url + "/reset_prefix_cache", method="POST")
        try:
            with urllib.request.urlopen(request, timeout=10):
                return True
        except OSError:
            return False


def last_argument(command: list[str], option: str) -> str:
    """A variant's own arguments come after the engine's, and the last one counts."""
    return command[len(command) - command[::-1].index(option)]


def _healthy(base_url: str) -> bool:
    try:
        with urllib.request.urlopen(base_url + "/health", timeout=2) as response:
            return response.status == 200
    except OSError:
        return False


def _version(base_url: str) -> str | None:
    try:
        with urllib.request.urlopen(base_url + "/version", timeout=5) as response:
            return json.load(response)["version"]
    except (OSError, ValueError, KeyError):
        return None
