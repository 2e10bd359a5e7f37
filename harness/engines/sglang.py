"""SGLang in an environment of its own, started as `python -m sglang.launch_server`.

No machine of ours has a GPU: this module has not run. Its arguments are compared with those of the wheel by a test
(tests/unit/engines/test_sglang.py); its API is as read in sglang 0.5.23, python/sglang/srt/entrypoints.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.engines import Deployment, Server
from harness.engines.dialect import SGLANG
from harness.engines.environment import EnvironmentConfig
from harness.engines.launched import RESET_TIMEOUT_S, Launched, LaunchedConfig, ask, ask_json

MODULE = "sglang.launch_server"
# Keys of the server's own account that name a kernel: layer type by setting.
BACKENDS = {
    "attention_backend": "attention",
    "prefill_attention_backend": "attention of prompts",
    "decode_attention_backend": "attention of generated tokens",
    "fp8_gemm_runner_backend": "FP8 linear",
    "fp4_gemm_runner_backend": "FP4 linear",
    "moe_runner_backend": "experts",
    "sampling_backend": "sampling",
}


@dataclass
class SglangConfig(LaunchedConfig):
    kind: str = "sglang"
    environment: EnvironmentConfig = field(default_factory=lambda: EnvironmentConfig(name="sglang"))
    dtype: str = "bfloat16"


class Sglang(Launched):
    Config = SglangConfig
    label = "SGLang"
    dialect = SGLANG

    def fingerprint(self) -> dict[str, Any]:
        return super().fingerprint() | {"dtype": self.config.dtype}

    def command(self, deployment: Deployment, port: int | None = None) -> list[str]:
        c = self.config
        revision = ["--revision", deployment.revision] if deployment.revision else []
        return [
            *(self.python(), "-m", MODULE, "--model-path", deployment.model, "--served-model-name", deployment.name),
            *("--host", "127.0.0.1", "--port", self.port(port)),
            *("--dtype", c.dtype, "--context-length", str(c.max_model_len)),
            *("--sampling-defaults", "openai"),  # a checkpoint must not bring its own sampling
            "--enable-metrics",
            *(*revision, *c.args, *deployment.args),
        ]

    def server_facts(self, base_url: str, command: list[str], log: Path) -> dict[str, Any]:
        told = ask_json(base_url + "/server_info") or ask_json(base_url + "/get_server_info") or {}
        kernels = [
            {"layer": layer, "kernel": str(told[setting]), "emulated": False}
            for setting, layer in BACKENDS.items()
            if told.get(setting)
        ]
        return {"version": told.get("version") or self.config.version, "kernels": kernels}

    def reset_prefix_cache(self, server: Server) -> bool:
        """The radix cache; the server refuses while requests run."""
        return ask(server.base_url + "/flush_cache", None, RESET_TIMEOUT_S, "POST") is not None
