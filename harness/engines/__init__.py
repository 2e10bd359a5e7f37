"""Engines: what serves a variant. An engine is one module with one class, and one line in ENGINES.

Nothing outside this package knows vLLM. The harness never imports an engine: it starts it in an environment of its
own and speaks the OpenAI HTTP protocol with it; what a server has beyond that is its dialect (dialect.py).
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Protocol

from harness.config.deployments import Axes
from harness.config.variants import Scheme
from harness.engines.dialect import VLLM, Dialect
from harness.engines.limits import Limits, Meter
from harness.engines.releases import Release
from harness.errors import ConfigError, did_you_mean
from harness.redaction.credentials import read_key, split_url

ENGINES = {
    "vllm": "harness.engines.vllm:Vllm",
    "sglang": "harness.engines.sglang:Sglang",
    "llamacpp": "harness.engines.llamacpp:LlamaCpp",
    "endpoint": "harness.engines.endpoint:Endpoint",
    "simulated": "harness.engines.simulated.engine:Simulated",
}


class NotLaunched:
    """The settings that every engine's configuration is asked for, as they are of an engine without a device of its
    own. An engine that is started here has them as fields (launched.LaunchedConfig)."""

    device: ClassVar[str | None] = None
    args: ClassVar[Sequence[str]] = ()
    version: str | None = None


@dataclass(frozen=True)
class Server:
    """A running OpenAI-compatible server."""

    base_url: str  # http://127.0.0.1:8000, without /v1
    model: str  # the name it serves
    api_key_env: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)  # version, command, schemes, kernels, log: in every record
    dialect: Dialect = VLLM
    limits: Limits = field(default_factory=Limits)  # what its owner lets a client ask
    meter: Meter = field(default_factory=Meter, compare=False, repr=False)  # what was asked of it
    basic: str | None = field(default=None, compare=False, repr=False)  # the Authorization of a URL with credentials

    def __post_init__(self) -> None:
        """Take credentials out of `base_url`, which is stored and shown. Raises ConfigError where they are masked."""
        base_url, basic = split_url(self.base_url)
        object.__setattr__(self, "base_url", base_url)
        object.__setattr__(self, "basic", basic or self.basic)

    @property
    def headers(self) -> dict[str, str]:
        """The credentials of the URL, else the key, which is read when it is needed. Raises ConfigError for a key that
        no header can carry."""
        if self.basic:
            return {"Authorization": self.basic}
        key = read_key(self.api_key_env)
        return {"Authorization": f"Bearer {key}"} if key else {}


@dataclass(frozen=True)
class Deployment:
    """What an engine is asked to serve."""

    name: str  # served model name
    model: str  # directory, hub id or GGUF file
    args: tuple[str, ...] = ()  # the variant's engine_args, then those that `deployment_args` made of its axes
    revision: str | None = None
    axes: Axes = field(default_factory=Axes)
    scheme: Scheme = field(default_factory=Scheme)  # for an engine that must know it without the weights
    deployment_of: str | None = None  # the variant that this one serves in another way
    # Values that the engine must use in place of those in the checkpoint's config.json.
    config_overrides: dict[str, Any] = field(default_factory=dict)


class Engine(Protocol):
    """An engine with a Python of its own may also time products of its kernels, for the GEMM study: `gemm_formats`,
    `gemm_fingerprint` and `gemm_command`, as in vllm.py."""

    config: Any  # with the settings of NotLaunched
    label: str  # its name in messages
    dialect: Dialect
    loads_weights: bool  # False: checkpoints, GPUs and what variants need are not this machine's matter
    weights: str  # the form of checkpoint that it serves: safetensors | gguf
    release: Release | None  # what this version reads of a checkpoint; None: not known, and not checked

    def fingerprint(self) -> dict[str, Any]:
        """The settings that can change a result (ports and time-outs cannot)."""

    def problems(self) -> list[str]:
        """What preflight can say without starting anything."""

    def deployment_args(self, axes: Axes) -> list[str]:
        """The axes of a deployment in this engine's own arguments, for the end of `Deployment.args`.

        A new engine translates each axis that is not None, and raises ConfigError for one that it cannot serve or a
        value that it does not know, beginning with the axis: "speculative: ...". An engine that takes no arguments, or
        reads `Deployment.axes` itself, returns []; what decides its results is then in `deployment_fingerprint`.
        """

    def deployment_problems(self, deployments: Sequence[Deployment]) -> list[str]:
        """`problems` for what it is to serve: the variants, and the judge where this engine serves it."""

    def prepare(self, log: Path) -> None:
        """Make the environment, if there is one to make. Raises EngineError."""

    def deployment_fingerprint(self, deployment: Deployment) -> dict[str, Any]:
        """What decides which server answers for a deployment, where the engine does not start one itself."""

    def command(self, deployment: Deployment) -> list[str]:
        """The exact server command, for the plan; empty for an engine that someone else runs."""

    def base_url(self, deployment: Deployment) -> str | None:
        """The address of a server that someone else runs; None for one that is started here."""

    def serve(self, deployment: Deployment, log: Path) -> AbstractContextManager[Server]:
        """A healthy server for as long as the context lasts. Raises EngineError with the last lines of its log."""

    def reset_prefix_cache(self, server: Server) -> bool:
        """True if the cache was reset."""


def engine_class(kind: str) -> type:
    if kind not in ENGINES:
        raise ConfigError(f"unknown engine kind {kind!r}{did_you_mean(kind, list(ENGINES))}")
    module, name = ENGINES[kind].split(":")
    return getattr(import_module(module), name)
