"""Deployments: every variant is served in each combination of its axes. Pure; runs before the plan.

The first combination keeps the variant's name. Another is named by what it changes of the first (`fp8_dynamic_tp2`,
"FP8, TP 2"), so that a longer axis or one more axis renames nothing. `deployment_of` names the variant that it serves.

What is measured again: the rates, of every combination; accuracy suites, where `accuracy_of` names no other variant.
The rule is NUMERICS: an axis in it changes what the model computes, so each of its values has its own scores. No
other axis changes results beyond the order of floating-point sums, which the noise floor covers: the tensor-parallel
degree, replicas, batch limits, chunked prefill, and speculative decoding, whose acceptance rule keeps the model's
distribution (Leviathan et al., 2023), greedy answers included.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from typing import Any

from harness.config.schema import Config
from harness.config.variants import Deployments, Variant
from harness.errors import ConfigError

NUMERICS = ("kv_cache_dtype",)
MOST = 64  # combinations of one variant
DEFAULTS = {"tensor_parallel": 1, "replicas": 1, "kv_cache_dtype": "auto"}  # of every engine
PARALLEL = ("tensor_parallel", "replicas")


@dataclass(frozen=True)
class Axes:
    """One combination, a value of each axis of `config.Deployments`; None: the engine's own default."""

    tensor_parallel: int | None = None
    replicas: int | None = None
    kv_cache_dtype: str | None = None
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    chunked_prefill: bool | None = None
    speculative: dict[str, Any] | None = None

    def given(self) -> dict[str, Any]:
        """{axis: value} of those that are not left to the engine."""
        return {name: value for name, value in vars(self).items() if value is not None}

    def beyond_defaults(self) -> "Axes":
        """Without the values that say what an engine does by itself: adding them to a sweep changes no result."""
        return replace(self, **{name: None for name, value in DEFAULTS.items() if getattr(self, name) == value})


def axes_of(variant: Variant) -> Axes:
    """The axes of a variant after `expand`, whose axes have one value each."""
    return Axes(**{axis: values[0] for axis, values in _used(variant.deployments).items()})


def _used(deployments: Deployments) -> dict[str, list]:
    return {axis: values for axis, values in vars(deployments).items() if values}


def accuracy_of(variant: Variant) -> str | None:
    """Return the variant whose scores this one has; None where its own suites are measured."""
    return variant.deployment_of if _used(variant.deployments) else None


def expand(config: Config) -> Config:
    """Every variant in each combination of its axes. Raises ConfigError for axes that cannot be served."""
    expanded: dict[str, Variant] = {}
    for name, variant in config.variants.items():
        for served_as, deployed in _combinations(config, name, variant):
            if served_as in expanded or (served_as != name and served_as in config.variants):
                raise ConfigError(f"variants.{served_as} is also a deployment of {name}; rename it")
            expanded[served_as] = deployed
    return replace(config, variants=expanded)


def _combinations(config: Config, name: str, variant: Variant) -> Iterator[tuple[str, Variant]]:
    own = _used(variant.deployments)
    if variant.deployment_of is not None:
        if own:
            raise ConfigError(f"variants.{name}: deployment_of makes it one deployment; take its deployments out")
        yield name, variant
        return
    axes = own or _used(config.deployments)
    where = f"variants.{name}.deployments" if own else "deployments"
    for axis, values in axes.items():
        _check(f"{where}.{axis}", axis, values)
    if (count := prod(map(len, axes.values()))) > MOST:
        sizes = " x ".join(f"{len(values)} {axis}" for axis, values in axes.items())
        raise ConfigError(f"{where}: {count} combinations of each variant ({sizes}); at most {MOST}: shorten an axis")
    if variant.gpus is not None and (both := [axis for axis in PARALLEL if axis in axes]):
        raise ConfigError(f"variants.{name}.gpus={variant.gpus} and {where}.{both[0]} both say its GPUs; set one")
    scored: dict[tuple, str] = {}  # by the values that change what the model computes
    first = {axis: values[0] for axis, values in axes.items()}
    for combination in product(*axes.values()):
        chosen = dict(zip(axes, combination, strict=True))
        _check_together(where, chosen)
        changed = [axis for axis in axes if chosen[axis] != first[axis]]
        served_as = "_".join([name, *(_tag(axis, chosen[axis]) for axis in changed)])
        scored_as = scored.setdefault(tuple(chosen[axis] for axis in NUMERICS if axis in axes), served_as)
        if scored_as != served_as and not config.scenarios:
            continue  # nothing but its rates would be measured
        label = ", ".join([variant.label, *(_words(axis, chosen[axis]) for axis in changed)])
        one = Deployments(**{axis: [value] for axis, value in chosen.items()})
        of = scored_as if scored_as != served_as else None
        yield served_as, replace(variant, label=label, deployments=one, deployment_of=of)


def _check(where: str, axis: str, values: Sequence[Any]) -> None:
    for position, value in enumerate(values):
        if value in values[:position]:
            raise ConfigError(f"{where}: {value!r} is there twice")
        if axis == "speculative" and value is not None:
            if not isinstance(value, dict) or not _whole(value.get("num_speculative_tokens")):
                raise ConfigError(
                    f"{where}: {value!r}: wants null or a mapping: {{method: ngram, num_speculative_tokens: 4, ...}}"
                )
        elif isinstance(value, int) and not isinstance(value, bool) and value < 1:
            raise ConfigError(f"{where}: {value} must be at least 1")


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _check_together(where: str, chosen: dict[str, Any]) -> None:
    sequences, tokens = chosen.get("max_num_seqs", 1), chosen.get("max_num_batched_tokens")
    if tokens is not None and sequences > tokens:
        raise ConfigError(
            f"{where}: max_num_seqs {sequences} with max_num_batched_tokens {tokens}: each sequence that decodes takes "
            "a token of every step"
        )


def _tag(axis: str, value: Any) -> str:
    """Return an axis value as a name shows it: tp2, dp2, kv_fp8, seqs64, tokens2048, chunked, unchunked, ngram4."""
    if axis == "chunked_prefill":
        return "chunked" if value else "unchunked"
    if axis != "speculative":
        short = {"tensor_parallel": "tp", "replicas": "dp", "kv_cache_dtype": "kv_", "max_num_seqs": "seqs"}
        return f"{short.get(axis, 'tokens')}{value}"
    if value is None:
        return "unspeculative"
    method, tokens, more = _speculation(value)
    text = "_".join([f"{method}{tokens}", *(f"{key.removeprefix('prompt_')}{entry}" for key, entry in more.items())])
    return re.sub(r"[^\w.-]+", "-", text)


def _words(axis: str, value: Any) -> str:
    """Return an axis value as a label shows it."""
    if axis == "chunked_prefill":
        return "chunked prefill" if value else "no chunked prefill"
    if axis == "speculative":
        if value is None:
            return "not speculative"
        method, tokens, more = _speculation(value)
        return " ".join([f"{method} x{tokens}", *(f"{key}={entry}" for key, entry in more.items())])
    words = {
        "tensor_parallel": "TP {}",
        "replicas": "{} replicas" if value != 1 else "{} replica",
        "kv_cache_dtype": "{} KV",
        "max_num_seqs": "batch {}",
        "max_num_batched_tokens": "{} tokens a step",
    }
    return words[axis].format(value)


def _speculation(value: dict[str, Any]) -> tuple[str, int, dict[str, Any]]:
    """(method, tokens, what else tells one proposal from another, by key)."""
    more = {key: entry for key, entry in sorted(value.items()) if key not in ("method", "num_speculative_tokens")}
    return str(value.get("method", "draft")), value["num_speculative_tokens"], more
