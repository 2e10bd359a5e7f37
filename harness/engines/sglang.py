"""SGLang in a separate environment, started as `python -m sglang.launch_server`.

No machine of ours has a GPU: this module has not run. Its arguments are compared with those of the wheel by a test
(tests/unit/engines/test_launched_engines.py); its API is as read in sglang 0.5.23, python/sglang/srt/entrypoints.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.config.deployments import Axes
from harness.engines import Deployment, Server
from harness.engines.dialect import SGLANG
from harness.engines.environment import EnvironmentConfig
from harness.engines.launched import (
    RESET_TIMEOUT_S,
    Launched,
    LaunchedConfig,
    ask,
    ask_object,
    axis_args,
    check_axis,
    speculation,
)
from harness.errors import ConfigError
from harness.records.engine_facts import EngineFacts, Kernel
from harness.records.fields import Facts
from harness.untrusted.strict_json import JsonObject

MODULE = "sglang.launch_server"
AXES = {
    "tensor_parallel": "--tp-size",
    "replicas": "--dp-size",
    "kv_cache_dtype": "--kv-cache-dtype",
    "max_num_seqs": "--max-running-requests",
}
KV_CACHE_DTYPES = ("auto", "bf16", "bfloat16", "fp8_e5m2", "fp8_e4m3", "mxfp8", "nvfp4", "fp4_mx_block16")
SPECULATIVE = {"ngram": "NGRAM", "eagle": "EAGLE", "eagle3": "EAGLE3", "draft_model": "STANDALONE"}  # vLLM's: SGLang's
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
MODEL_FLAGS = {
    **dict.fromkeys(("--speculative-draft-model-path", "--speculative-draft"), "--speculative-draft-model-revision"),
    **dict.fromkeys(("--tokenizer-path", "--lora-paths")),
}


@dataclass
class SglangConfig(LaunchedConfig):
    kind: str = "sglang"
    environment: EnvironmentConfig = field(default_factory=lambda: EnvironmentConfig(name="sglang"))
    dtype: str = "bfloat16"  # --dtype of the server


class Sglang(Launched):
    Config = SglangConfig
    label = "SGLang"
    dialect = SGLANG
    model_flags = MODEL_FLAGS
    code_flag = "--trust-remote-code"
    module = MODULE
    start_s = 60.0

    def fingerprint(self) -> Facts:
        return {**super().fingerprint(), "dtype": self.config.dtype}

    def deployment_args(self, axes: Axes) -> list[str]:
        """`max_num_batched_tokens` is the chunk in which prompts are read; without chunks, of a batch of prompts."""
        check_axis("kv_cache_dtype", axes.kv_cache_dtype, KV_CACHE_DTYPES)
        args = axis_args(axes, AXES)
        if axes.chunked_prefill is False:
            args += ["--chunked-prefill-size", "-1"]
        if axes.max_num_batched_tokens is not None:
            flag = "--max-prefill-tokens" if axes.chunked_prefill is False else "--chunked-prefill-size"
            args += [flag, str(axes.max_num_batched_tokens)]
        return args + speculative_args(axes.speculative)

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

    def server_facts(self, started: EngineFacts, base_url: str, log: Path) -> EngineFacts:
        told = ask_object(base_url + "/server_info") or ask_object(base_url + "/get_server_info")
        kernels = (Kernel(layer, str(told[name])) for name, layer in BACKENDS.items() if told.get(name))
        return replace(
            started,
            version=str(told.get("version") or self.config.version),
            kernels=tuple(kernels),
            kv_cache_dtype=str(told["kv_cache_dtype"]) if told.get("kv_cache_dtype") else None,
        )

    def reset_prefix_cache(self, server: Server) -> bool:
        """The radix cache, as soon as no request runs any more."""
        return ask(server.base_url + "/flush_cache?timeout=5", None, RESET_TIMEOUT_S, "POST") is not None


def speculative_args(asked: JsonObject | None) -> list[str]:
    """A chain of num_speculative_tokens, as vLLM drafts it. Raises ConfigError for what SGLang has not."""
    if asked is None:
        return []
    method, model, tokens = speculation(asked, Sglang.label, tuple(SPECULATIVE))
    args = ["--speculative-algorithm", SPECULATIVE[method]]
    if method == "ngram":
        return [*args, "--speculative-num-draft-tokens", str(tokens)]
    if not model:
        raise ConfigError(f"speculative: {method} needs a model: {{method: {method}, model: ORG/NAME, ...}}")
    args += ["--speculative-draft-model-path", model, "--speculative-num-steps", str(tokens)]
    return [*args, "--speculative-eagle-topk", "1", "--speculative-num-draft-tokens", str(tokens + 1)]
