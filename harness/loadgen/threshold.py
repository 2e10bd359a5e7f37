"""At which request rate the share of values beyond a limit is the allowed one: what a few noisy probes say about it.

Finding the dose at which a response has a given probability is an old problem. This is the Bayesian answer of
psychophysics (QUEST, Watson & Pelli 1983; Psi, Kontsevich & Tyler 1999): near the threshold the share is taken as a
logistic function of the logarithm of the rate,

    logit share(r) = logit allowed + slope x (ln r - ln threshold),    allowed = 0.01 for a p99

with a posterior over (ln threshold, slope) on a grid, flat in ln threshold and log-normal in the slope beforehand.
Three things keep its interval honest:

- Values of one probe are correlated: a slow step delays a whole batch, queues come in bursts. Counts are divided by a
  design effect (Kish 1965), the variance of the share over blocks of time relative to that of independent values,
  pooled over the probes because one probe has few blocks.
- The curve is logistic to first order only. A probe whose share lies d logits from the allowed has a standard error of
  at least CURVATURE x d^2, so that far probes point the way and near ones decide.
- Probes differ by more than their requests: another process takes the core, a host clocks down. So the ln threshold of
  each probe is the search's plus a normal deviation, whose standard deviation is a parameter (BETWEEN) beside threshold
  and slope, and one probe in twenty may be off by a factor of two (OUTLIER), as in robust regression (Lange, Little &
  Taylor 1989). A likelihood depends on ln r - ln threshold alone, so both are convolutions along the grid.

Of a limit on a mean, ln(mean / limit) takes the place of the logits, with the standard error that it has over blocks.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from harness.loadgen.slo import ALLOWED_SHARE, Level, Tally

CURVATURE = 0.15
LEVEL_CURVATURE = 0.5  # of the distance itself: a mean bends sharply where queues begin
LEAST_LIKELIHOOD = 1e-12  # relative to a probe's highest: none excludes what all others say
# In simulations between 3 (p99 ITL on the level of rare double prefills) and 200 (TTFT where the batch is full).
SLOPES, SLOPE_LOG_SD = {"itl": 8.0, "ttft": 25.0}, 0.8
OTHER_SLOPE = 12.0  # TPOT, E2E, tokens/s and goodput: means over a request and mixtures of the two
MEAN_SLOPE = 2.0  # of ln(mean / limit): flat at low rates, steep near saturation
LN_SLOPES = np.linspace(math.log(0.25), math.log(400.0), 25)
# Standard deviations of ln threshold from probe to probe, and their prior: a machine of one's own, a shared one.
# 90 % intervals then hold in 92 to 100 % of searches on logistic curves, at deviations of 0, 0.03 and 0.1.
BETWEEN = {0.01: 0.2, 0.04: 0.2, 0.1: 0.35, 0.25: 0.25}
OUTLIER, OUTLIER_SD = 0.05, 0.7
LEAST_LEVEL_ERROR = 0.01  # a mean's blocks are ten
# In continuous batching, before anything is known; it counts as much as a probe with 9 values beyond. A queue that
# forms near saturation delays tens of requests at once.
DESIGN_EFFECTS, DESIGN_EFFECT_COUNT = {"itl": 10.0, "ttft": 40.0}, 9.0
OTHER_DESIGN_EFFECT = 40.0  # one value a request, as of TTFT
INFORMATIVE = (0.0005, 0.30)  # shares from which a design effect can be told


@dataclass(frozen=True)
class Posterior:
    """The posterior of one metric, over a grid of ln rate."""

    mass: np.ndarray
    slope: float  # geometric mean
    design_effect: float


@dataclass(frozen=True)
class Seen:
    """What a probe says of one metric. `ceiling_rps`: the server was saturated and answered no more than that."""

    rate_rps: float
    tally: Tally | Level
    ceiling_rps: float = math.inf


def posterior(metric: str, grid: np.ndarray, probes: Sequence[Seen]) -> Posterior:
    """`metric`: a name of slo.py; `grid`: of ln rate, evenly spaced."""
    effect = design_effect(metric, [seen.tally for seen in probes if isinstance(seen.tally, Tally)])
    likelihoods = [_likelihood(grid, seen, effect) for seen in probes]
    usual = MEAN_SLOPE if metric.endswith("_mean") else SLOPES.get(_family(metric), OTHER_SLOPE)
    prior = np.tile(-0.5 * ((LN_SLOPES - math.log(usual)) / SLOPE_LOG_SD) ** 2, (grid.size, 1))
    log_density = np.full(prior.shape, -math.inf)
    for between, weight in BETWEEN.items():
        spread = sum((np.log(_spread(one, grid, between)) for one in likelihoods), prior)
        log_density = np.logaddexp(log_density, math.log(weight) + spread)
    density = np.exp(log_density - log_density.max())
    density /= density.sum()
    return Posterior(density.sum(axis=1), math.exp(float(density.sum(axis=0) @ LN_SLOPES)), effect)


def _likelihood(grid: np.ndarray, seen: Seen, effect: float) -> np.ndarray:
    """Return the likelihood of a probe, (grid, slopes), relative to its highest; an outlier's is in it."""
    tally = seen.tally
    distance = np.exp(LN_SLOPES) * (math.log(seen.rate_rps) - grid[:, None])
    found = _log_level(distance, tally) if isinstance(tally, Level) else _log_tally(distance, tally, effect)
    found[grid > max(math.log(seen.ceiling_rps), grid[0])] = -math.inf
    likelihood = np.exp(found - found.max())
    return (1 - OUTLIER) * likelihood + OUTLIER * _spread(likelihood, grid, OUTLIER_SD)


def _spread(likelihood: np.ndarray, grid: np.ndarray, deviation: float) -> np.ndarray:
    step = float(grid[1] - grid[0])
    if deviation > step:
        likelihood = gaussian_filter1d(likelihood, deviation / step, axis=0, mode="nearest", truncate=3.0)
    return np.maximum(likelihood, LEAST_LIKELIHOOD)


def target(allowed: float = ALLOWED_SHARE) -> float:
    """Return the logit of the share that may lie beyond the limit."""
    return math.log(allowed / (1 - allowed))


def _family(metric: str) -> str:
    return metric.partition("_")[0]


def design_effect(metric: str, tallies: list[Tally]) -> float:
    """Variance of the share over that of independent values; the geometric mean over probes and what is expected."""
    logs, weights = (
        [math.log(DESIGN_EFFECTS.get(_family(metric), OTHER_DESIGN_EFFECT))],
        [math.sqrt(DESIGN_EFFECT_COUNT)],
    )
    for tally in tallies:
        share = tally.share
        if share is not None and INFORMATIVE[0] < share < INFORMATIVE[1]:
            logs.append(math.log(_over_blocks(tally, share)))
            weights.append(math.sqrt(share * sum(tally.of)))
    return math.exp(float(np.average(logs, weights=weights)))


def _over_blocks(tally: Tally, share: float) -> float:
    """Return the design effect of a ratio estimator over blocks (Cochran 1977, 6.13); at least 1."""
    beyond, of = np.array(tally.beyond, dtype=float), np.array(tally.of, dtype=float)
    blocks = int(np.count_nonzero(of))
    variance = float(((beyond - share * of) ** 2).sum()) * blocks / max(1, blocks - 1)
    return max(1.0, variance / (of.sum() * share * (1 - share)))


def _log_tally(away: np.ndarray, tally: Tally, effect: float) -> np.ndarray:
    """`away`: logits from the allowed share.

    Binomial, of the effective counts. Those that the curvature leaves speak for the distance from the threshold, all of
    them for its direction: a share below the allowed is below the threshold on any rising curve.
    """
    beyond, count = sum(tally.beyond) / effect, sum(tally.of) / effect
    share = (sum(tally.beyond) + 0.5) / (sum(tally.of) + 1)
    middle = target(tally.allowed)
    eta = middle + away
    distance = math.log(share / (1 - share)) - middle
    bend = CURVATURE * distance**2
    # a share near 1 has little information where it is, and very much about all that it excludes: a slope, for example
    information = share * (1 - share) if share < 0.5 else 0.25
    kept = 1.0 if bend == 0 else min(1.0, 1.0 / (information * bend**2) / count)
    full = _binomial(eta, beyond, count)
    if kept == 1.0:
        return full
    wrong_side = eta > middle if distance < 0 else eta < middle
    direction = np.where(wrong_side, full - _binomial(middle, beyond, count), 0.0)
    return kept * full + (1 - kept) * direction


def _log_level(away: np.ndarray, level: Level) -> np.ndarray:
    """Normal, with the curvature's error beside its own; for its direction with its own alone."""
    if not math.isfinite(level.ln_ratio):
        return np.where(away < 0, math.log(LEAST_LIKELIHOOD), 0.0)
    error = math.hypot(level.error, LEAST_LEVEL_ERROR)
    wide = math.hypot(error, LEVEL_CURVATURE * level.ln_ratio)
    found = -0.5 * ((away - level.ln_ratio) / wide) ** 2
    wrong_side = away * level.ln_ratio < 0
    return found - np.where(wrong_side, 0.5 * (away / error) ** 2, 0.0)


def _binomial(eta: np.ndarray | float, beyond: float, count: float) -> np.ndarray:
    return beyond * eta - count * np.logaddexp(0.0, eta)
