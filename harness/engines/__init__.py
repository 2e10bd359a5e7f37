"""Engines: what serves a variant. An engine is one module with one class, and one line in ENGINES.

Nothing outside this package knows vLLM. The harness never imports an engine: it starts it in an environment of its
own and speaks the OpenAI HTTP protocol with it; what a server has beyond that is its dialect (dialect.py).
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple, Protocol

from harness.config.deployments import Axes
from harness.config.variants import Scheme
from harness.engines.credentials import read_key, split_url
from harness.engines.dialect import OPENAI, VLLM, Dialect
from harness.engines.limits import Limits, Meter, TokenPrice
from harness.engines.releases import Release
from harness.errors import ConfigError, did_you_mean
from harness.records.engine_facts import EngineFacts
from harness.records.fields import Facts
from harness.untrusted.strict_json import JsonObject

ENGINES = {
    "vllm": "harness.engines.vllm:Vllm",
    "sglang": "harness.engines.sglang:Sglang",
    "llamacpp": "harness.engines.llamacpp:LlamaCpp",
    "endpoint": "harness.engines.endpoint:Endpoint",
    "simulated": "harness.engines.simulated.engine:Simulated",
}


class EngineConfig:
    """What every engine's settings are asked for, with its one default. An engine whose users may set one declares it
    as a field; another has the default, and a user who sets it gets an error."""

    kind: str
    version: str | None = None
    device: str | None = None  # cuda | rocm | cpu: what a server that is started here computes on
    args: Sequence[str] = ()
    env: Mapping[str, str] = MappingProxyType({})
    port: int | None = None  # that its server must listen on; None: a free one
    max_model_len: int | None = None  # tokens of one request, prompt and answer; None: not known here
    price: TokenPrice = TokenPrice()
    max_cost: float | None = None  # of the whole sweep, in the price's currency


@dataclass(frozen=True)
class Server:
    """A running OpenAI-compatible server."""

    base_url: str  # http://127.0.0.1:8000, without /v1
    model: str  # the name it serves
    api_key_env: str | None = None
    facts: EngineFacts = field(default_factory=EngineFacts)  # in every record
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
    config_overrides: JsonObject = field(default_factory=dict)


class Target(NamedTuple):
    """A server that someone else runs."""

    base_url: str  # without /v1; empty: not set
    model: str | None
    api_key_env: str | None = None  # the environment variable that holds its key


class GemmWorker(Protocol):
    """How products of an engine's kernels are timed, for the GEMM study: a process in the engine's Python."""

    @property
    def packages(self) -> tuple[str, ...]:
        """The names under which the engine itself may be installed: the worker tells the version of each."""

    def formats(self) -> tuple[str, ...]:
        """The number formats that have kernels on the engine's device."""

    def fingerprint(self) -> Facts:
        """What decides a product's time: the kernels, and the code that times them."""

    def command(self, spec: Path) -> tuple[list[str], dict[str, str]]:
        """(command, environment variables) of the worker; it speaks on standard output."""


class Engine(ABC):
    """All that another package asks of an engine. A new engine overrides what differs for it.

    Settings are asked of `config` (EngineConfig), or of the properties here that hand them on.
    """

    Config: ClassVar[type[EngineConfig]]  # a dataclass: the settings of conf/engine
    loads_weights: bool = False  # False: checkpoints, GPUs and what variants need are not this machine's matter
    meaning_of_model: str | None = None  # what the setting `model` is for, where it is not what is served
    weights: str = "safetensors"  # the form of checkpoint that it serves: safetensors | gguf
    limits: Limits = Limits()  # what its owner lets a client ask
    # Arguments that may name a repository of the hub, each with the argument that names its revision, if there is one.
    model_flags: ClassVar[Mapping[str, str | None]] = MappingProxyType({})

    code_flag: str | None = None  # the argument that lets it run code that a checkpoint names (`auto_map`)
    install_s: float = 0.0  # rule of thumb for `prepare`, where there is something to make

    @property
    def start_s(self) -> float:
        """Rule of thumb for a start until the first answer, beside the reading of weights."""
        return 1.0

    def __init__(self, config: Any, cache_dir: Path):
        self.config = config
        self.cache_dir = cache_dir

    @property
    @abstractmethod
    def label(self) -> str:
        """Its name in messages."""

    @property
    def dialect(self) -> Dialect:
        return OPENAI

    @property
    def gemm(self) -> GemmWorker | None:
        """None: it has no Python whose kernels could be timed."""
        return None

    @classmethod
    def release_of(cls, version: str) -> Release | None:
        """What a version reads of a checkpoint; None: not known, and not checked."""
        return None

    @property
    def release(self) -> Release | None:
        return self.release_of(self.version or "")

    @property
    def kind(self) -> str:
        return self.config.kind

    @property
    def version(self) -> str | None:
        return self.config.version

    @property
    def device(self) -> str | None:
        return self.config.device

    @property
    def args(self) -> Sequence[str]:
        return self.config.args

    @property
    def env(self) -> Mapping[str, str]:
        return self.config.env

    @property
    def max_model_len(self) -> int | None:
        return self.config.max_model_len

    @property
    def price(self) -> TokenPrice:
        return self.config.price

    def price_of(self, name: str | None) -> TokenPrice:
        """What the server of a deployment takes; `name`: None for one of no variant."""
        return self.price

    @property
    def max_cost(self) -> float | None:
        return self.config.max_cost

    @abstractmethod
    def fingerprint(self) -> Facts:
        """The settings that can change a result (ports and time-outs cannot)."""

    @abstractmethod
    def deployment_args(self, axes: Axes) -> list[str]:
        """The axes of a deployment in this engine's own arguments, for the end of `Deployment.args`.

        A new engine translates each axis that is not None, and raises ConfigError for one that it cannot serve or a
        value that it does not know, beginning with the axis: "speculative: ...". An engine that takes no arguments, or
        reads `Deployment.axes` itself, returns []; what decides its results is then in `deployment_fingerprint`.
        """

    @abstractmethod
    def serve(self, deployment: Deployment, log: Path) -> AbstractContextManager[Server]:
        """A healthy server for as long as the context lasts. Raises EngineError with the last lines of its log."""

    @abstractmethod
    def reset_prefix_cache(self, server: Server) -> bool:
        """True if the cache was reset."""

    def problems(self) -> list[str]:
        """What preflight can say without starting anything."""
        return []

    def deployment_problems(self, deployments: Sequence[Deployment]) -> list[str]:
        """`problems` for what it is to serve: the variants, and the judge where this engine serves it."""
        return []

    def deployment_fingerprint(self, deployment: Deployment) -> Facts:
        """What decides which server answers for a deployment, where the engine does not start one itself."""
        return {}

    def is_ready(self) -> bool:
        """Whether there is nothing for `prepare` to make."""
        return True

    def prepare(self, log: Path) -> None:  # noqa: B027 - most engines have none to make
        """Make the environment, if there is one to make. Raises EngineError."""

    def compiling(self, log: Path) -> AbstractContextManager[None]:
        """Compile the modules of a new environment's server beside what the context does: its first start need not."""
        return nullcontext()

    def cache_variables(self, folder: Path) -> dict[str, str]:
        """The environment by which a server keeps its caches of compiled kernels in `folder`, and shares none."""
        return {}

    def command(self, deployment: Deployment) -> list[str]:
        """The exact server command, for the plan; empty for an engine that someone else runs."""
        return []

    def target(self, name: str) -> Target | None:
        """The server that someone else runs for a deployment, by its name; None for one that is started here."""
        return None

    def another_build(self, name: str) -> str | None:
        """Say that another server answers for a deployment than the one that its fingerprint names."""
        return None

    def tools(self) -> Facts:
        """What the engine's programs come from: part of the identity of a checkpoint that one of them made."""
        return {}

    def tool(self, name: str) -> str:
        """The path of one of the engine's programs, once `prepare` has run."""
        return name


def engine_class(kind: str) -> type[Engine]:
    if kind not in ENGINES:
        raise ConfigError(f"unknown engine kind {kind!r}{did_you_mean(kind, list(ENGINES))}")
    module, name = ENGINES[kind].split(":")
    return getattr(import_module(module), name)
