"""An OpenAI-compatible server that someone else runs: an engine on another machine, or a hosted API with its limits."""

import contextlib
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.config.deployments import Axes
from harness.engines import Deployment, Engine, EngineConfig, Server, Target, metric_names
from harness.engines.credentials import key_problems, url_problems, without_credentials
from harness.engines.dialect import DIALECTS, IDS, TEXT, VLLM, Dialect
from harness.engines.limits import Limits, TokenPrice
from harness.engines.model_list import list_models
from harness.errors import EngineError, did_you_mean
from harness.records.engine_facts import EngineFacts


@dataclass
class EndpointConfig(EngineConfig):
    """`base_url` without /v1. The key is read from the variable that `api_key_env` names and is never stored; so are
    the credentials of http://USER:PASSWORD@HOST (basic authentication, instead of a key)."""

    kind: str = "endpoint"
    base_url: str | None = None
    model: str | None = None
    targets: dict[str, dict[str, str]] = field(default_factory=dict)  # variant -> {base_url, model}, where they differ
    api_key_env: str | None = None
    version: str | None = None  # what runs there, if you know: it is stored with the results
    send_as: str = "ids"  # prompts of suites: ids | text, for a server that takes no token ids
    dialect: str = "vllm"  # vllm | sglang | llamacpp | tensorrt_llm | openai: what it understands beyond OpenAI's API
    max_concurrency: int | None = None  # requests in flight
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None  # of prompts and answers together
    price: TokenPrice = field(default_factory=TokenPrice)
    max_cost: float | None = None  # of the whole sweep, in the price's currency; no cell is started that it forbids


class Endpoint(Engine):
    Config = EndpointConfig

    def __init__(self, config: EndpointConfig, cache_dir: Path):
        super().__init__(config, cache_dir)
        self.limits = Limits(config.max_concurrency, config.requests_per_minute, config.tokens_per_minute)

    @property
    def label(self) -> str:
        form = "" if self.config.send_as == IDS else f" and engine.send_as={self.config.send_as}"
        return f"an endpoint of engine.dialect={self.config.dialect}{form}"

    @property
    def dialect(self) -> Dialect:
        known = DIALECTS.get(self.config.dialect, VLLM)  # a wrong name is one of problems()
        known = replace(known, metrics=metric_names.KNOWN)  # vLLM behind a gateway of OpenAI's API exports vLLM's
        return known if self.config.send_as == IDS else known.for_text_prompts()

    def fingerprint(self) -> dict[str, Any]:
        facts = {"kind": "endpoint", "version": self.config.version}
        facts |= {} if self.config.send_as == IDS else {"send_as": self.config.send_as}
        return facts if self.config.dialect == "vllm" else {**facts, "dialect": self.config.dialect}

    def deployment_fingerprint(self, deployment: Deployment) -> dict[str, Any]:
        base_url, model = self.target(deployment.name)
        base_url = without_credentials(base_url)
        return {"base_url": hashlib.sha256(base_url.encode()).hexdigest()[:16], "model": model}

    def problems(self) -> list[str]:
        found = []
        if not self.config.base_url and not self.config.targets:
            found.append("engine.base_url is not set; give the server's address, like http://127.0.0.1:8000")
        found += url_problems("engine.base_url", self.config.base_url)
        for name, target in self.config.targets.items():
            found += url_problems(f"engine.targets.{name}.base_url", target.get("base_url"))
            for key in set(target) - {"base_url", "model"}:
                found.append(f"engine.targets.{name}: unknown key {key!r}{did_you_mean(key, ['base_url', 'model'])}")
        found += key_problems("engine.api_key_env", self.config.api_key_env, True)
        urls = [self.config.base_url, *(target.get("base_url") for target in self.config.targets.values())]
        if self.config.api_key_env and any(url and url != without_credentials(url) for url in urls):
            found.append(
                "a URL of engine has credentials and engine.api_key_env is set; a request carries one: drop one"
            )
        if self.config.dialect not in DIALECTS:
            found.append(f"engine.dialect={self.config.dialect}{did_you_mean(self.config.dialect, list(DIALECTS))}")
        if self.config.send_as not in (IDS, TEXT):
            found.append(f"engine.send_as={self.config.send_as}{did_you_mean(self.config.send_as, [IDS, TEXT])}")
        return found + self._wrong_numbers()

    def _wrong_numbers(self) -> list[str]:
        c, found = self.config, []
        for name in ("max_concurrency", "requests_per_minute", "tokens_per_minute", "max_cost"):
            if (value := getattr(c, name)) is not None and value <= 0:
                found.append(f"engine.{name}={value:g} must be above 0; leave it null for no limit")
        for name in ("per_million_prompt_tokens", "per_million_completion_tokens"):
            if (value := getattr(c.price, name)) is not None and value < 0:
                found.append(f"engine.price.{name}={value:g} must not be negative")
        if c.price.known and not (c.price.source and re.fullmatch(r"\d{4}-\d{2}-\d{2}", c.price.date or "")):
            found.append(
                "engine.price is set; set engine.price.date=YYYY-MM-DD and engine.price.source= too: a price without "
                "its day and its source cannot be checked"
            )
        if c.max_cost is not None and not c.price.known:
            found.append(f"engine.max_cost={c.max_cost:g} without a price; set engine.price.per_million_prompt_tokens=")
        return found

    def deployment_args(self, axes: Axes) -> list[str]:
        """None: who runs the server deploys it. The axes say how, and every combination has a target of its own."""
        return []

    def deployment_problems(self, deployments: Sequence[Deployment]) -> list[str]:
        """Two variants behind one address and model name would be one server compared with itself."""
        served: dict[Target, str] = {}
        found = []
        for name in (deployment.name for deployment in deployments):
            target = self.target(name)
            if first := served.get(target):
                found.append(
                    f"variants {first} and {name} are the same endpoint and model; give one of them its own: "
                    f"'+engine.targets.{name}={{base_url: URL, model: NAME}}'"
                )
            served.setdefault(target, name)
        return found

    def target(self, name: str) -> Target:
        target = self.config.targets.get(name, {})
        base_url = (target.get("base_url") or self.config.base_url or "").rstrip("/").removesuffix("/v1")
        return Target(base_url, target.get("model") or self.config.model)

    @contextlib.contextmanager
    def serve(self, deployment: Deployment, log: Path) -> Iterator[Server]:
        base_url, model = self.target(deployment.name)
        if not base_url:
            raise EngineError(f"variant {deployment.name}: no engine.base_url and no engine.targets.{deployment.name}")
        server = Server(base_url, model or "", self.config.api_key_env)
        available = list_models(server)
        if available is None:
            if not model:
                raise EngineError(f"{server.base_url} does not list its models at /v1/models; set engine.model")
            available = [model]  # the first request will tell
        model = model or (available[0] if len(available) == 1 else None)
        if model not in available:
            some = ", ".join(available[:8]) + (f" and {len(available) - 8} more" if len(available) > 8 else "")
            raise EngineError(
                f"{server.base_url} does not serve {model!r}; it serves {some or 'nothing'}; set engine.model"
            )
        address = {"base_url": server.base_url, "model": model}
        facts = EngineFacts(self.kind, version=self.config.version or "unknown", more=address)
        yield Server(base_url, model, self.config.api_key_env, facts, self.dialect, self.limits)

    def reset_prefix_cache(self, server: Server) -> bool:
        return False
