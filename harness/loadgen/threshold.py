"""At which request rate the share of values beyond a limit is the allowed one: what a few noisy probes say about it.

Finding the dose at which a response has a given probability is an old problem. This is the Bayesian answer of
psychophysics (QUEST, Watson & Pelli 1983; Psi, Kontsevich & Tyler 1999): near the threshold the share is taken as a
logistic function of the logarithm of the rate,

    logit share(r) = logit allowed + slope x (ln r - ln threshold),    allowed = 0.01 for a p99

with a posterior over (ln threshold, slope) on a grid, flat in ln threshold and log-normal in the slope beforehand.
Two things keep its interval honest:

- Values of one probe are correlated: a slow step delays a whole batch, queues come in bursts. Counts are divided by a
  design effect (Kish 1965), the variance of the share over blocks of time relative to that of independent values,
  pooled over the probes because one probe has few blocks.
- The curve is logistic to first order only. A probe whose share lies d logits from the allowed has a standard error of
  at least CURVATURE x d^2, so that far probes point the way and near ones decide.
"""

import math
from dataclasses import dataclass

import numpy as np

from harness.loadgen.slo import ALLOWED_SHARE, Tally

CURVATURE = 0.15
# In simulations between 3 (p99 ITL on the level of rare double prefills) and 200 (TTFT where the batch is full).
SLOPES, SLOPE_LOG_SD = {"itl": 8.0, "ttft": 25.0}, 1.2
OTHER_SLOPE = 12.0  # TPOT, E2E, tokens/s and goodput: means over a request and mixtures of the two
LN_SLOPES = np.linspace(math.log(1.0), math.log(400.0), 37)
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


def posterior(
    metric: str, grid: np.ndarray, probes: list[tuple[float, Tally]], ceiling_rps: float = math.inf
) -> Posterior:
    """`metric`: a name of slo.py; `probes`: (rate, tally) pairs. The threshold is known to be below `ceiling_rps`."""
    slopes = np.exp(LN_SLOPES)
    log_density = np.tile(
        -0.5 * ((LN_SLOPES - math.log(SLOPES.get(_family(metric), OTHER_SLOPE))) / SLOPE_LOG_SD) ** 2, (grid.size, 1)
    )
    effect = design_effect(metric, [tally for _, tally in probes])
    for rate, tally in probes:
        eta = target(tally.allowed) + slopes * (math.log(rate) - grid[:, None])
        log_density += _log_likelihood(eta, tally, effect)
    log_density[grid > max(math.log(ceiling_rps), grid[0])] = -math.inf
    density = np.exp(log_density - log_density.max())
    density /= density.sum()
    return Posterior(density.sum(axis=1), math.exp(float(density.sum(axis=0) @ LN_SLOPES)), effect)


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


def _log_likelihood(eta: np.ndarray, tally: Tally, effect: float) -> np.ndarray:
    """Binomial, of the effective counts. Those that the curvature leaves speak for the distance from the threshold, all
    of them for its direction: a share below the allowed is below the threshold on any rising curve.
    """
    beyond, count = sum(tally.beyond) / effect, sum(tally.of) / effect
    share = (sum(tally.beyond) + 0.5) / (sum(tally.of) + 1)
    middle = target(tally.allowed)
    distance = math.log(share / (1 - share)) - middle
    bend = CURVATURE * distance**2
    kept = 1.0 if bend == 0 else min(1.0, 1.0 / (share * (1 - share) * bend**2) / count)
    full = _binomial(eta, beyond, count)
    if kept == 1.0:
        return full
    wrong_side = eta > middle if distance < 0 else eta < middle
    direction = np.where(wrong_side, full - _binomial(middle, beyond, count), 0.0)
    return kept * full + (1 - kept) * direction


def _binomial(eta: np.ndarray | float, beyond: float, count: float) -> np.ndarray:
    return beyond * eta - count * np.logaddexp(0.0, eta)
