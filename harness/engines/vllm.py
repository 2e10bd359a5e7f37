"""vLLM in an environment of its own, started as `python -m vllm.entrypoints.openai.api_server`.

CUDA, CPU and ROCm builds by configuration alone: what differs is what `environment` installs. (The `vllm` command of
the CPU wheel does not run; the module works for every build.)
"""

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.engines import Deployment, Server
from harness.engines.dialect import VLLM
from harness.engines.environment import EnvironmentConfig
from harness.engines.kernels import read_kernels
from harness.engines.launched import RESET_TIMEOUT_S, Launched, LaunchedConfig, ask, ask_json

PLUGINS = Path(__file__).with_name("plugins")
MODULE = "vllm.entrypoints.openai.api_server"


@dataclass
class VllmConfig(LaunchedConfig):
    kind: str = "vllm"
    environment: EnvironmentConfig = field(default_factory=lambda: EnvironmentConfig(name="vllm"))
    dtype: str = "bfloat16"
    plugins: bool = False  # load harness/engines/plugins into the engine (CPU repairs)


class Vllm(Launched):
    Config = VllmConfig
    label = "vLLM"
    dialect = VLLM

    def fingerprint(self) -> dict[str, Any]:
        facts = super().fingerprint() | {"dtype": self.config.dtype}
        if self.config.plugins:
            files = sorted(PLUGINS.glob("*.py"))
            facts["plugins"] = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
        return facts

    def command(self, deployment: Deployment, port: int | None = None) -> list[str]:
        c = self.config
        revision = ["--revision", deployment.revision] if deployment.revision else []
        return [
            *(self.python(), "-m", MODULE, "--model", deployment.model, "--served-model-name", deployment.name),
            *("--host", "127.0.0.1", "--port", self.port(port)),
            *("--dtype", c.dtype, "--max-model-len", str(c.max_model_len)),
            *("--generation-config", "vllm"),  # a checkpoint must not bring its own sampling
            *(*revision, *c.args, *deployment.args),
        ]

    def server_env(self) -> dict[str, str]:
        env = {"VLLM_SERVER_DEV_MODE": "1", "VLLM_NO_USAGE_STATS": "1"}
        if self.config.plugins:
            env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(PLUGINS), os.environ.get("PYTHONPATH")]))
        return env

    def server_facts(self, base_url: str, command: list[str], log: Path) -> dict[str, Any]:
        return {
            "version": (ask_json(base_url + "/version") or {}).get("version") or self.config.version,
            "dtype": last_argument(command, "--dtype"),
            "kernels": read_kernels(log, self.config.device),
        }

    def reset_prefix_cache(self, server: Server) -> bool:
        return ask(server.base_url + "/reset_prefix_cache", None, RESET_TIMEOUT_S, "POST") is not None


def last_argument(command: list[str], option: str) -> str:
    """A variant's own arguments come after the engine's, and the last one counts."""
    return command[len(command) - command[::-1].index(option)]
