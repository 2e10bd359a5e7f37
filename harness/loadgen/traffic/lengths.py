"""How long each request is: drawn around the scenario's token count, from a seed, the same for every variant.

    fixed       always the count
    uniform     count +- sqrt(3) cv count
    normal      standard deviation cv count
    lognormal   log-variance ln(1 + cv^2), the shape of real prompts and answers (ShareGPT, Azure's traces)

`min` and `max` truncate: the distribution is conditioned on lying between them, not clipped to them, which would pile
requests up at the bounds. Truncation moves a mean, so the location of a normal and the scale of a lognormal are solved
for: the mean that is drawn is the scenario's token count (below some 10 tokens rounding shows), and what gives is the
spread, which comes out below `cv` where much is cut off.

Lengths are drawn stratified, one from each of n equally likely parts of the distribution, in random order: every length
has its exact probability, and the total work of a load point is close to its expectation. Independent draws would
make two points of the ladder differ by cv / sqrt(n), 18 % for 32 lognormal requests with cv 1.
"""

from collections.abc import Callable

import numpy as np
import scipy  # imports scipy.special when it is first used: only spread lengths need it, and it takes 0.2 s

from harness.config.workloads import CHAT, COMPLETIONS, GENERATED, VERBATIM, Scenario, Spread
from harness.errors import ConfigError, did_you_mean

KINDS = ("fixed", "uniform", "normal", "lognormal")
SEND_AS = ("ids", "text")
SEND, APIS = (GENERATED, VERBATIM), (COMPLETIONS, CHAT)
SOLVE_WITHIN = 30.0  # standard deviations, or factors of e, in which a location is looked for ...
HALVINGS = 60  # ... by bisection


def draw_lengths(mean: int, spread: Spread, count: int, seed: int, setting: str = "lengths") -> list[int]:
    """`count` lengths in tokens. Raises ConfigError, naming `setting`, for a spread that cannot have this mean."""
    check_spread(mean, spread, setting)
    if spread.kind == "fixed" or not count:
        return [mean] * count
    draw = np.random.Generator(np.random.PCG64(seed))
    share = (draw.permutation(count) + draw.random(count)) / count
    lengths = np.rint(_quantile(mean, spread, setting)(share))
    return np.clip(lengths, spread.min, spread.max).astype(int).tolist()


def check_spread(mean: int, spread: Spread, setting: str) -> None:
    if spread.kind not in KINDS:
        raise ConfigError(f"{setting}.kind: no distribution {spread.kind!r}{did_you_mean(spread.kind, list(KINDS))}")
    if spread.kind == "fixed" and spread.cv:
        raise ConfigError(f"{setting}.cv {spread.cv:g} has no meaning for fixed lengths; set {setting}.kind")
    if spread.kind != "fixed" and not 0 < spread.cv < float("inf"):
        raise ConfigError(f"{setting}.cv: a {spread.kind} distribution needs one above 0, got {spread.cv:g}")
    if spread.min < 1:
        raise ConfigError(f"{setting}.min: at least 1 token, got {spread.min}")
    high = float("inf") if spread.max is None else spread.max
    if not spread.min <= mean <= high or (spread.kind != "fixed" and not spread.min < mean < high):
        raise ConfigError(f"{setting}: the mean of {mean} tokens must lie between min {spread.min} and max {high:g}")
    if spread.kind == "uniform":
        widest = min(mean - spread.min, high - mean) + 0.5
        if np.sqrt(3) * spread.cv * mean > widest:
            raise ConfigError(
                f"{setting}: uniform lengths of mean {mean} between {spread.min} and {high:g} tokens have a cv of at "
                f"most {widest / mean / np.sqrt(3):.3f}, got {spread.cv:g}"
            )


def check_shape(scenario: Scenario) -> None:
    """Raises ConfigError for a scenario whose lengths, turns or way of sending make no sense."""
    for setting, value, known in (("send", scenario.send, SEND), ("api", scenario.api or COMPLETIONS, APIS)):
        if value not in known:
            raise ConfigError(f"{setting}: {value!r}{did_you_mean(value, list(known))}")
    if scenario.send == VERBATIM:
        return _check_verbatim(scenario)
    for setting in ("prompt_tokens", "output_tokens"):
        if getattr(scenario, setting) < 1:
            raise ConfigError(f"{setting}: at least 1 token, got {getattr(scenario, setting)}")
    check_spread(scenario.prompt_tokens, scenario.prompt_spread, "prompt_spread")
    check_spread(scenario.output_tokens, scenario.output_spread, "output_spread")
    shortest = scenario.prompt_tokens if scenario.prompt_spread.kind == "fixed" else scenario.prompt_spread.min
    if not 0 <= scenario.shared_prefix_tokens < shortest:
        raise ConfigError(
            f"shared_prefix_tokens: at least 0 and below the shortest prompt's {shortest}, "
            f"got {scenario.shared_prefix_tokens}; set prompt_spread.min for a spread"
        )
    if scenario.send_as not in SEND_AS:
        raise ConfigError(f"send_as: {scenario.send_as!r}{did_you_mean(scenario.send_as, list(SEND_AS))}")
    if scenario.turns < 1 or scenario.think_s < 0 or (scenario.turn_tokens is not None and scenario.turn_tokens < 1):
        raise ConfigError(
            f"turns {scenario.turns}, turn_tokens {scenario.turn_tokens}, think_s {scenario.think_s:g}: "
            "at least 1 turn, 1 token and 0 seconds"
        )
    if scenario.turns == 1 and (scenario.turn_tokens is not None or scenario.think_s):
        raise ConfigError("turn_tokens and think_s are of later turns; set turns above 1")
    if scenario.turns > 1 and scenario.send_as == "text" and scenario.api != CHAT:
        raise ConfigError("a completion is continued with the token ids of its answer; set send_as: ids, or api: chat")


def _check_verbatim(scenario: Scenario) -> None:
    plain = Scenario()
    for setting in ("prompt_spread", "output_spread", "shared_prefix_tokens", "turns", "turn_tokens", "think_s"):
        if getattr(scenario, setting) != getattr(plain, setting):
            raise ConfigError(f"send: verbatim sends prompts as they are; leave {setting} out")


def _quantile(mean: int, spread: Spread, setting: str) -> Callable[[np.ndarray], np.ndarray]:
    """The inverse of the truncated distribution function: lengths before they are rounded."""
    # Half a token further on both sides, so that the shortest and the longest length have a whole token's probability.
    low, high = spread.min - 0.5, (np.inf if spread.max is None else spread.max + 0.5)
    if spread.kind == "uniform":
        half = np.sqrt(3) * spread.cv * mean
        return lambda share: mean + half * (2 * share - 1)
    if spread.kind == "normal":
        sd = spread.cv * mean
        place = _solve(lambda x: _normal_mean(x, sd, low, high) - mean, mean, sd, setting)
        return lambda share: place + sd * _truncated(share, (low - place) / sd, (high - place) / sd)
    sigma = np.sqrt(np.log1p(spread.cv**2))
    low, high = np.log(low), np.log(high)
    place = _solve(
        lambda x: _lognormal_mean(x, sigma, low, high) - mean, np.log(mean) - sigma**2 / 2, max(sigma, 1.0), setting
    )
    return lambda share: np.exp(place + sigma * _truncated(share, (low - place) / sigma, (high - place) / sigma))


def _truncated(share: np.ndarray, low: float, high: float) -> np.ndarray:
    """Quantiles of a standard normal between low and high, from the tail that is the more exact of the two."""
    if low > 0:
        return -_truncated(1 - share, -high, -low)
    below, within = scipy.special.ndtr(low), _within(low, high)
    return scipy.special.ndtri(below + share * within)


def _within(low: float, high: float) -> float:
    """Probability that a standard normal lies between low and high, without cancellation in the upper tail."""
    ndtr = scipy.special.ndtr
    return ndtr(-low) - ndtr(-high) if low > 0 else ndtr(high) - ndtr(low)


def _normal_mean(place: float, sd: float, low: float, high: float) -> float:
    """Mean of a normal between low and high (Johnson, Kotz and Balakrishnan 1994, 10.1)."""
    a, b = (low - place) / sd, (high - place) / sd
    density = (np.exp(-(a**2) / 2) - np.exp(-(b**2) / 2)) / np.sqrt(2 * np.pi)
    return place + sd * density / _within(a, b)


def _lognormal_mean(place: float, sigma: float, low: float, high: float) -> float:
    """Mean of exp(N(place, sigma^2)) between exp(low) and exp(high): a partial expectation over a probability."""
    a, b = (low - place) / sigma, (high - place) / sigma
    return np.exp(place + sigma**2 / 2) * _within(a - sigma, b - sigma) / _within(a, b)


def _solve(excess: Callable[[float], float], start: float, step: float, setting: str) -> float:
    """The location at which the mean's excess is 0; it grows with the location."""
    low = high = start
    with np.errstate(all="ignore"):
        while not excess(low) <= 0 and low > start - SOLVE_WITHIN * step:
            low -= step
        while not excess(high) >= 0 and high < start + SOLVE_WITHIN * step:
            high += step
        if not excess(low) <= 0 <= excess(high):
            raise ConfigError(f"{setting}: no such distribution has this mean between min and max; widen them")
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if excess(middle) < 0 else (low, middle)
    return high
