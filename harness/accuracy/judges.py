"""The sweep's judge: what preflight says of its settings, and that it is none of the models under test."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from harness.accuracy.alpaca_eval.judge_prompts import STYLES
from harness.checkpoints import source
from harness.checkpoints.file_digests import Digests
from harness.checkpoints.identity import content, weights_only
from harness.checkpoints.sources import Directory, Hub, Pypi
from harness.config.schema import Judge
from harness.engines import Target
from harness.errors import did_you_mean

LOCAL = {"localhost": "127.0.0.1", "::1": "127.0.0.1", "0.0.0.0": "127.0.0.1"}
FEWEST_CALIBRATED = 4  # instructions
PORTS = {"http": 80, "https": 443}
_IN_HUB_CACHE = re.compile(r"/models--([\w.-]+?)--([\w.-]+)/snapshots/")


def model_key(reference: str, digests: Digests | None = None) -> tuple[Any, ...]:
    """The same for two references to one model: other paths, a copy of its files, another revision or spelling."""
    found = source(reference)
    if isinstance(found, Hub):
        return ("hub", found.repository.lower())
    if isinstance(found, Pypi):
        return ("pypi", re.sub(r"[-_.]+", "-", found.requirement.split("==")[0]).lower())
    if isinstance(found, Directory) and (cached := _IN_HUB_CACHE.search(f"{found.path}/")):
        return ("hub", f"{cached[1]}/{cached[2]}".lower())
    if isinstance(found, Directory) and not found.problems():
        return ("weights", content(found.path, digests or Digests(), weights_only))
    return tuple(sorted(found.identity(digests).items()))


def endpoint_key(base_url: str) -> tuple[Any, ...]:
    """(scheme, host, port, path), the same for localhost and 127.0.0.1, with and without /v1."""
    url = urlsplit(base_url if "//" in base_url else f"http://{base_url}")
    host = (url.hostname or "").lower()
    path = url.path.rstrip("/").removesuffix("/v1").rstrip("/")
    return (url.scheme.lower(), LOCAL.get(host, host), url.port or PORTS.get(url.scheme.lower()), path)


def settings_problems(judge: Judge) -> list[str]:
    found = []
    if judge.prompt not in STYLES:
        found.append(f"unknown judge.prompt {judge.prompt!r}{did_you_mean(judge.prompt, list(STYLES))}")
    if judge.calibration_items < FEWEST_CALIBRATED:
        found.append(
            f"judge.calibration_items is {judge.calibration_items}; with fewer than {FEWEST_CALIBRATED} instructions "
            "no judge can be told from chance"
        )
    return found


def identity_problems(
    judge: Judge,
    references: list[str],
    locations: list[str],
    targets: Mapping[str, Target],
    digests: Digests | None = None,
) -> list[str]:
    """`references`: checkpoints of the models under test; `locations`: where the made ones lie; `targets`: variant ->
    (base_url, model) where a server of someone else's answers for it."""
    if judge.model:
        where = Path(judge.model).expanduser().resolve()
        if where in {Path(location).expanduser().resolve() for location in locations}:
            return [f"judge.model {judge.model} is a variant's checkpoint; a variant never judges itself"]
    named = judge.model or judge.endpoint_model or ""  # compose has checked that one of them is named
    for reference in references:
        if reference == named or _same_model(reference, named, digests):
            setting = "judge.model" if judge.model else "judge.endpoint_model"
            return [f"{setting} {named} is {reference}, a model under test; a variant never judges itself"]
    for name, (base_url, model, *_) in targets.items():
        same_server = judge.base_url and base_url and endpoint_key(judge.base_url) == endpoint_key(base_url)
        if same_server and model in (None, judge.endpoint_model):
            return [f"judge.base_url is where variant {name} is served; a variant never judges itself"]
    return []


def _same_model(reference: str, named: str, digests: Digests | None) -> bool:
    return model_key(reference, digests) == model_key(named, digests)


def hub_commit(reference: str) -> str | None:
    """Return the commit of a hub model that the engine was started with; None for other sources."""
    return source(reference).commit
