"""What the engines that we start share: a separate environment, a free port, readiness, and never left behind.

Such an engine is a subclass that says its command line, its environment variables, what its log and its API tell of
it, and how its prefix cache is emptied.
"""

import contextlib
import json
import os
import urllib.request
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from harness.config.deployments import Axes
from harness.engines import Deployment, Engine, EngineConfig, Server, environment
from harness.engines.environment import EnvironmentConfig
from harness.engines.model_list import list_models
from harness.engines.process import ServerProcess, own_port, port_in_use
from harness.errors import ConfigError, EngineError, did_you_mean
from harness.hub.commits import MODEL, commit_of
from harness.protocol.replies import BadReply, parse_json
from harness.protocol.urls import fetch
from harness.records.engine_facts import EngineFacts
from harness.records.fields import Facts
from harness.untrusted.strict_json import JsonObject

RESET_TIMEOUT_S = 10.0


@dataclass
class LaunchedConfig(EngineConfig):
    kind: str = ""
    version: str = ""  # what `environment` installs; checked against the variants' needs
    device: str = "cuda"  # cuda | rocm | cpu
    environment: EnvironmentConfig = field(default_factory=EnvironmentConfig)
    python: str | None = None  # an interpreter that has the engine, instead of an environment made here
    max_model_len: int = 4096  # tokens of one request, prompt and answer
    args: list[str] = field(default_factory=list)  # further arguments of the server
    env: dict[str, str] = field(default_factory=dict)  # further environment variables of the server
    port: int | None = None  # null: a free one
    startup_timeout_s: float = 900.0  # until the server answers
    stop_grace_s: float = 20.0  # from SIGTERM to SIGKILL


# Rules of thumb: 18 s for vLLM's CPU build, 1 GB on a disk; 9 GB of CUDA wheels are downloaded.
INSTALL_CPU_S, INSTALL_CUDA_S = 25.0, 120.0


class Launched(Engine):
    loads_weights = True
    module: ClassVar[str | None] = None  # of Python, which the server is started from

    def __init__(self, config: Any, cache_dir: Path):
        super().__init__(config, cache_dir)
        self.install_s = INSTALL_CPU_S if config.device == "cpu" else INSTALL_CUDA_S
        self.environment = replace(config.environment, python=config.python or config.environment.python)

    @abstractmethod
    def command(self, deployment: Deployment, port: int | None = None) -> list[str]: ...

    def server_env(self, log: Path) -> dict[str, str]:
        """Environment variables of the server that writes this log; the user's `engine.env` comes after them."""
        return {}

    def cache_variables(self, folder: Path) -> dict[str, str]:
        return {"TORCHINDUCTOR_CACHE_DIR": str(folder / "inductor"), "TRITON_CACHE_DIR": str(folder / "triton")}

    @abstractmethod
    def server_facts(self, started: EngineFacts, base_url: str, log: Path) -> EngineFacts:
        """`started` with `version`, `kernels`, and what else the engine tells of itself."""

    def fingerprint(self) -> Facts:
        c = self.config
        facts = {"kind": c.kind, "environment": environment.fingerprint(self.environment), "version": c.version}
        return facts | {"max_model_len": c.max_model_len, "args": list(c.args), "env": dict(c.env)}

    def problems(self) -> list[str]:
        found = environment.problems(self.environment)
        if self.config.port is not None and port_in_use(self.config.port):
            found.append(
                f"engine.port {self.config.port} is in use by another process; stop it, or leave engine.port=null "
                "for a free one"
            )
        return found

    def is_ready(self) -> bool:
        return environment.is_ready(self.environment, self.cache_dir)

    def prepare(self, log: Path) -> None:
        environment.ensure(self.environment, self.cache_dir, log)

    @contextlib.contextmanager
    def compiling(self, log: Path) -> Iterator[None]:
        if self.module is None or self.environment.python:
            yield
            return
        command = [self.python(), "-c", f"import {self.module}"]
        process = ServerProcess(command, environment.variables(self.environment), log, self.config.stop_grace_s)
        try:
            yield
        finally:
            process.stop()

    def python(self) -> str:
        return str(environment.python_path(self.environment, self.cache_dir))

    def port(self, port: int | None) -> str:
        return str(port or self.config.port or "PORT")

    @contextlib.contextmanager
    def serve(self, deployment: Deployment, log: Path) -> Iterator[Server]:
        with own_port(self.config.port or None) as port:
            command = self.command(deployment, port)
            base_url = f"http://127.0.0.1:{port}"
            if port_in_use(port):
                raise EngineError(
                    f"variant {deployment.name}: port {port} is in use; set engine.port=null for a free one"
                )
            env = {**environment.variables(self.environment), **self.server_env(log), **self.config.env}
            process = ServerProcess(command, env, log, self.config.stop_grace_s)
            try:
                what = f"variant {deployment.name}: {self.label}"
                ready_s = process.wait_ready(lambda: self.healthy(base_url), self.config.startup_timeout_s, what)
                if deployment.name not in (available := list_models(Server(base_url, deployment.name)) or []):
                    raise EngineError(f"{what} at {base_url} serves {available}; another server took its port?")
                started = EngineFacts(self.kind, self.device, tuple(command), str(log), round(ready_s, 1))
                yield Server(base_url, deployment.name, None, self.server_facts(started, base_url, log), self.dialect)
            finally:
                process.stop()

    def healthy(self, base_url: str) -> bool:
        return ask(base_url + "/health", timeout_s=2) is not None


def axis_args(axes: Axes, flags: dict[str, str]) -> list[str]:
    """The axes that one argument says, each by its flag."""
    given = axes.given()
    return [word for axis, flag in flags.items() if axis in given for word in (flag, str(given[axis]))]


def check_axis(axis: str, value: str | None, known: Sequence[str], engine: str = "") -> None:
    """Raises ConfigError for a value that the engine does not know; `engine`: its release, where that decides."""
    if value is not None and value not in known:
        of = f" ({engine})" if engine else ""
        raise ConfigError(f"{axis}: {value!r}{of}{did_you_mean(value, list(known))}")


class Speculation(NamedTuple):
    method: str
    model: str | None  # the draft model
    tokens: int  # proposed a step


def speculation(asked: JsonObject, label: str, methods: Sequence[str]) -> Speculation:
    """Read {method, model, num_speculative_tokens}, vLLM's keys. Raises ConfigError."""
    known = {"method", "model", "num_speculative_tokens"}
    method = str(asked.get("method", "draft_model"))
    check_axis("speculative: method", method, methods)
    if unknown := set(asked) - known:
        names = ", ".join(sorted(unknown))
        raise ConfigError(f"speculative: {label} has no {names}; it knows {', '.join(sorted(known))}")
    return Speculation(method, asked.get("model"), int(asked["num_speculative_tokens"]))


def pinned_draft(asked: JsonObject) -> JsonObject:
    """Return vLLM's speculative settings with the commit of a draft model that is on the hub."""
    model = asked.get("model")
    if not isinstance(model, str) or "revision" in asked or os.path.exists(model) or "/" not in model:
        return asked
    commit = commit_of(MODEL, model)
    return {**asked, "revision": commit} if commit else asked


def ask(
    url: str, body: Mapping[str, object] | None = None, timeout_s: float = 5.0, method: str | None = None
) -> bytes | None:
    """A 200's body; None for any other answer, or none. `body` is posted as JSON."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    try:
        return fetch(request, timeout_s)
    except OSError:
        return None


def ask_json(url: str) -> Any:
    """None where there is no answer, or none in JSON."""
    answer = ask(url)
    try:
        return None if answer is None else parse_json(answer)
    except BadReply:
        return None


def ask_object(url: str) -> JsonObject:
    """{} where there is no answer, or none that is a JSON object."""
    answer = ask_json(url)
    return answer if isinstance(answer, dict) else {}
