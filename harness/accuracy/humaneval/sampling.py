"""Greedy answers, or several samples of each item at a temperature and pass@k from them."""

import hashlib
import math
from typing import Protocol

from harness.errors import ConfigError


class Sampling(Protocol):
    """The part of a suite's configuration that is checked and used here."""

    samples: int
    temperature: float
    top_p: float
    k: list[int]


def check_sampling(name: str, config: Sampling) -> None:
    def refuse(problem: str) -> None:
        raise ConfigError(f"suite {name}: {problem}")

    if config.samples < 1:
        refuse(f"samples must be at least 1: {config.samples}")
    if not 0 <= config.temperature < math.inf:
        refuse(f"temperature must be 0 (greedy) or more: {config.temperature}")
    if not 0 < config.top_p <= 1:
        refuse(f"top_p must be above 0 and at most 1: {config.top_p}")
    if config.samples > 1 and config.temperature == 0:
        refuse(f"{config.samples} samples at temperature 0 would all be the same; set temperature (0.8 is usual)")
    if not config.k or len(set(config.k)) != len(config.k) or min(config.k) < 1:
        refuse(f"k must be a list of different numbers from 1: {list(config.k)}")
    if max(config.k) > config.samples:
        refuse(f"pass@{max(config.k)} needs at least {max(config.k)} samples an item; samples is {config.samples}")


def decoding(config: Sampling) -> dict[str, float]:
    if config.temperature == 0:
        return {"temperature": 0.0}
    return {"temperature": config.temperature, "top_p": config.top_p}


def describe(config: Sampling) -> str:
    if config.temperature == 0:
        return "greedy"
    each = f", {config.samples} samples an item" if config.samples > 1 else ""
    return f"temperature {config.temperature:g}, top_p {config.top_p:g}{each}"


def sample_seed(seed: int, name: str, index: int) -> int:
    """31 bits: what every server takes. Two runs differ only by what the server adds (batching, kernels)."""
    return int.from_bytes(hashlib.sha256(f"{seed} {name} {index}".encode()).digest()[:4]) >> 1


def pass_at_k(samples: int, right: int, k: int) -> float:
    """Chen et al. 2021, equation 1: the chance that of k samples, drawn from these without return, one is right."""
    return 1.0 - math.comb(samples - right, k) / math.comb(samples, k)
