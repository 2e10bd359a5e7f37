"""vLLM in a separate environment, started as `python -m vllm.entrypoints.openai.api_server`.

CUDA, CPU and ROCm builds by configuration alone: what differs is what `environment` installs. (The `vllm` command of
the CPU wheel does not run; the module works for every build.)
"""

import hashlib
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from packaging.version import InvalidVersion, Version

from harness.config.deployments import Axes
from harness.engines import Deployment, GemmWorker, Server, hf_overrides
from harness.engines.dialect import VLLM
from harness.engines.environment import EnvironmentConfig
from harness.engines.launched import (
    RESET_TIMEOUT_S,
    Launched,
    LaunchedConfig,
    ask,
    ask_object,
    axis_args,
    check_axis,
    pinned_draft,
)
from harness.engines.releases import Release, vllm_release
from harness.engines.vllm_gemm import VllmGemm
from harness.engines.vllm_log import read_log, write_logging_config
from harness.errors import ConfigError
from harness.machine import host
from harness.records.engine_facts import EngineFacts
from harness.records.fields import Facts

PLUGINS = Path(__file__).with_name("plugins")
MODULE = "vllm.entrypoints.openai.api_server"
AXES = {
    "tensor_parallel": "--tensor-parallel-size",
    "replicas": "--data-parallel-size",
    "kv_cache_dtype": "--kv-cache-dtype",
    "max_num_seqs": "--max-num-seqs",
    "max_num_batched_tokens": "--max-num-batched-tokens",
}
MODEL_FLAGS = {
    "--tokenizer": "--tokenizer-revision",
    **dict.fromkeys(("--hf-config-path", "--generation-config", "--lora-modules", "--speculative-config", "-sc")),
}
KV_CACHE_DTYPES = (  # CacheDType of vllm/config/cache.py: what each of these releases has beyond the one before
    ("0.15.1", ("auto", "bfloat16", "fp8", "fp8_e4m3", "fp8_e5m2", "fp8_inc", "fp8_ds_mla")),
    ("0.18.1", ("float16",)),
    (
        "0.27.1",
        (
            *("turboquant_k8v4", "turboquant_4bit_nc", "turboquant_k3v4_nc", "turboquant_3bit_nc"),
            *("int4_per_token_head", "int8_per_token_head", "fp8_per_token_head", "nvfp4"),
        ),
    ),
    ("0.32.0", ("nvfp4_ds_mla", "ultraquant_4bit", "nvfp4_4over6")),
)

NEEDS_PYTHON = {"0.27.1": (3, 12)}  # its FlashInfer, 0.6.16.post3, has array.array[int], which older ones cannot read


@dataclass
class VllmConfig(LaunchedConfig):
    kind: str = "vllm"
    environment: EnvironmentConfig = field(default_factory=lambda: EnvironmentConfig(name="vllm"))
    dtype: str = "bfloat16"  # --dtype of the server
    plugins: bool = False  # load harness/engines/plugins into the engine (CPU repairs)


class Vllm(Launched):
    Config = VllmConfig
    label = "vLLM"
    dialect = VLLM
    model_flags = MODEL_FLAGS
    code_flag = "--trust-remote-code"
    module = MODULE

    @property
    def start_s(self) -> float:
        """26 to 33 s eager on two CPU cores, 72 to 104 s with compilation."""
        return 30.0 if "--enforce-eager" in self.args else 85.0

    @property
    def gemm(self) -> GemmWorker:
        return VllmGemm(self)

    @classmethod
    def release_of(cls, version: str) -> Release | None:
        return vllm_release(version)

    def fingerprint(self) -> Facts:
        facts = {**super().fingerprint(), "dtype": self.config.dtype}
        if self.config.plugins:
            files = sorted(PLUGINS.glob("*.py"))
            facts["plugins"] = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
        return facts

    def problems(self) -> list[str]:
        lowest = NEEDS_PYTHON.get(self.config.version)
        if self.config.device != "cuda" or self.config.python or lowest is None or sys.version_info >= lowest:
            return super().problems()
        needed, ours = ".".join(map(str, lowest)), ".".join(map(str, sys.version_info[:2]))
        return [
            *super().problems(),
            f"{self._release()} does not start on Python {ours}: its FlashInfer cannot be imported. Run the harness on "
            f"Python {needed} or later, or set engine.python to an interpreter that has vLLM",
        ]

    def deployment_args(self, axes: Axes) -> list[str]:
        check_axis("kv_cache_dtype", axes.kv_cache_dtype, kv_cache_dtypes(self.config.version), self._release())
        tokens, longest = axes.max_num_batched_tokens, self.config.max_model_len
        if axes.chunked_prefill is False and tokens is not None and tokens < longest:
            raise ConfigError(
                f"chunked_prefill: false with max_num_batched_tokens {tokens}: a prompt of engine.max_model_len="
                f"{longest} would fit no step; raise the one or lower the other"
            )
        args = axis_args(axes, AXES)
        if axes.chunked_prefill is not None:
            args.append("--enable-chunked-prefill" if axes.chunked_prefill else "--no-enable-chunked-prefill")
        if axes.speculative is not None:
            args += ["--speculative-config", json.dumps(pinned_draft(axes.speculative), sort_keys=True)]
        return args

    def command(self, deployment: Deployment, port: int | None = None) -> list[str]:
        c = self.config
        revision = ["--revision", deployment.revision] if deployment.revision else []
        return [
            *(self.python(), "-m", MODULE, "--model", deployment.model, "--served-model-name", deployment.name),
            *("--host", "127.0.0.1", "--port", self.port(port)),
            *("--dtype", c.dtype, "--max-model-len", str(c.max_model_len)),
            *("--generation-config", "vllm"),  # a checkpoint must not bring its own sampling
            *revision,
            *hf_overrides.merge((*c.args, *deployment.args), deployment.config_overrides),
        ]

    def server_env(self, log: Path) -> dict[str, str]:
        env = {"VLLM_SERVER_DEV_MODE": "1", "VLLM_NO_USAGE_STATS": "1"}
        env |= write_logging_config(log, self.config.version, {**os.environ, **self.config.env})
        if self.config.plugins:
            env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(PLUGINS), os.environ.get("PYTHONPATH")]))
        return env

    def cache_variables(self, folder: Path) -> dict[str, str]:
        return {**super().cache_variables(folder), "VLLM_CACHE_ROOT": str(folder / "vllm")}

    def server_facts(self, started: EngineFacts, base_url: str, log: Path) -> EngineFacts:
        version = ask_object(base_url + "/version").get("version") or self.config.version
        told = replace(started, version=str(version), dtype=last_argument(started.command, "--dtype"))
        return read_log(told, log, self._capability())

    def _release(self) -> str:
        return f"{self.label} {self.config.version}" if self.config.version else ""

    def _capability(self) -> float | None:
        """The lowest compute capability of the GPUs that the server may use."""
        if self.config.device != "cuda":
            return None
        return min((gpu["compute_capability"] or 0.0 for gpu in host.gpus_for(self.config)), default=None)

    def reset_prefix_cache(self, server: Server) -> bool:
        return ask(server.base_url + "/reset_prefix_cache", None, RESET_TIMEOUT_S, "POST") is not None


def last_argument(command: Sequence[str], option: str) -> str:
    """A variant's own arguments come after the engine's, and the last one counts."""
    return command[len(command) - command[::-1].index(option)]


def kv_cache_dtypes(version: str) -> tuple[str, ...]:
    """The values of --kv-cache-dtype. A version between two of KV_CACHE_DTYPES may have those of the next one."""
    try:
        own = Version(version)
    except InvalidVersion:
        own = Version(KV_CACHE_DTYPES[-1][0])
    later = [position for position, (release, _) in enumerate(KV_CACHE_DTYPES) if Version(release) >= own]
    known = KV_CACHE_DTYPES[: later[0] + 1] if later else KV_CACHE_DTYPES
    return tuple(dtype for _, names in known for dtype in names)
