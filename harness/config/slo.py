"""Service-level objectives: limits on what users see of a server, by any metric.

    ttft_ms, itl_ms, tpot_ms, e2e_ms    latencies, at most so many milliseconds (loadgen/metrics.py has the formulas)
    tok_per_s_per_user                  1 / TPOT of a request, at least so many tokens/s

With `_mean` or a percentile, a limit is of the whole cell: `itl_ms_p99: 50`, `e2e_ms_p99.9: 8000`. A floor is on the
slow end of its distribution: `tok_per_s_per_user_p1: 20`, 99 % of requests get 20 tokens/s or more.

Without one, it is of each request, and `goodput` is the share of requests that must meet all of them at once (Zhong et
al., DistServe, 2024; vLLM's --goodput): `{ttft_ms: 1000, tpot_ms: 50, goodput: 0.99}`. The ITL of a request is the p99
of its gaps.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

from harness.errors import did_you_mean

PER_USER, GOODPUT = "tok_per_s_per_user", "goodput"
METRICS = ("ttft_ms", "itl_ms", "tpot_ms", "e2e_ms", PER_USER)
SHOWN_PARTS = ("mean", "p50", "p90", "p95", "p99")
PARTED = re.compile(rf"({'|'.join(METRICS)})_(?:mean|p(\d+(?:[._]\d+)?))")  # p99_9 where a dot is in the way
KNOWN = [*METRICS, *(f"{metric}_{part}" for metric in METRICS for part in (*SHOWN_PARTS, "p1")), GOODPUT]

Given = Mapping[str, float | None]


@dataclass(frozen=True)
class Limit:
    """A limit on the mean or a percentile of a cell. `percent` None: the mean."""

    key: str  # itl_ms_p99
    metric: str  # itl_ms
    percent: float | None
    value: float

    @property
    def is_floor(self) -> bool:
        return self.metric == PER_USER

    @property
    def allowed(self) -> float:
        """The share of values that may lie beyond the limit. Raises ValueError for a mean."""
        if self.percent is None:
            raise ValueError(f"{self.key} is a mean: no share of its values decides it")
        return self.percent / 100 if self.is_floor else 1 - self.percent / 100

    def ratio(self, measured: float) -> float:
        """Return how much of the limit is used: at most 1 where it is met."""
        if self.is_floor:
            return self.value / measured if measured > 0 else math.inf
        return measured / self.value


@dataclass(frozen=True)
class Slo:
    """`limits` of the cell; `each` of each request, {metric: limit}, which a share `goodput` of them must meet."""

    limits: tuple[Limit, ...] = ()
    each: tuple[tuple[str, float], ...] = ()
    goodput: float | None = None

    @classmethod
    def of(cls, given: Given | None = None, **more: float | None) -> Self:
        """Read limits as a configuration has them; null is none. Raises ValueError that begins with the wrong key."""
        limits = {key: value for key, value in {**(given or {}), **more}.items() if value is not None}
        for key, value in limits.items():
            _check(key, value)
        each = tuple((metric, float(limits[metric])) for metric in METRICS if metric in limits)
        if each and GOODPUT not in limits:
            name = each[0][0]
            raise ValueError(
                f"{name}: a limit of each request; set goodput: 0.99 for the share that must meet it, or "
                f"{name}_{'p1' if name == PER_USER else 'p99'} for a percentile of all"
            )
        if GOODPUT in limits and not each:
            raise ValueError(f"{GOODPUT}: needs limits of each request beside it: {', '.join(METRICS)}")
        parted = sorted((key for key in limits if PARTED.fullmatch(key)), key=_rank)
        goodput = float(limits[GOODPUT]) if GOODPUT in limits else None
        return cls(tuple(_limit(key, limits[key]) for key in parted), each, goodput)

    @classmethod
    def known(cls, stored: Given) -> Self:
        """Read what a store holds: limits that this version does not know are left out."""
        understood = {key: value for key, value in stored.items() if value is not None and not _fault(key, value)}
        try:
            return cls.of(understood)
        except ValueError:
            return cls.of({key: value for key, value in understood.items() if PARTED.fullmatch(key)})

    def __bool__(self) -> bool:
        return bool(self.limits) or self.goodput is not None

    @property
    def goodput_key(self) -> str | None:
        """Name the share of requests that meet the limits of each: equal for equal limits."""
        return f"{GOODPUT}({', '.join(f'{name}={limit:g}' for name, limit in self.each)})" if self.each else None

    @property
    def keys(self) -> tuple[str, ...]:
        """Name the values of a cell that decide the SLO."""
        return (*(limit.key for limit in self.limits), *([self.goodput_key] if self.goodput_key else []))

    def ratios(self, value: Callable[[str], float]) -> dict[str, float]:
        """Return of each of `keys` how much of its limit is used, from its measured value."""
        found = {limit.key: limit.ratio(value(limit.key)) for limit in self.limits}
        if self.goodput_key and self.goodput is not None:
            found[self.goodput_key] = (1 - value(self.goodput_key)) / (1 - self.goodput)
        return found

    def to_json(self) -> dict[str, float]:
        """Return the limits as a configuration has them, in one order."""
        return {
            **{limit.key: limit.value for limit in self.limits},
            **dict(self.each),
            **({GOODPUT: self.goodput} if self.goodput is not None else {}),
        }


def _check(key: str, value: float) -> None:
    if wrong := _fault(key, value):
        raise ValueError(f"{key}: {wrong}")


def _fault(key: str, value: float) -> str | None:
    parted = PARTED.fullmatch(key)
    if parted is None and key not in (*METRICS, GOODPUT):
        hint = did_you_mean(key, KNOWN).partition("; available")[0].partition(" available:")[0].rstrip(";")
        return (
            f"no such limit{hint} known: {', '.join(METRICS)}, each with _mean or _pN (a percentile), or of each "
            f"request and with {GOODPUT}"
        )
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        return f"a limit is a number above 0, got {value!r}"
    if key == GOODPUT and not 0 < value < 1:
        return f"a share between 0 and 1, got {value:g}; 0.99 is 99 % of requests"
    percent = _percent(parted[2]) if parted else None
    if percent is not None and not 0 < percent < 100:
        return f"a percentile is between 0 and 100, got {percent:g}"
    if percent is not None and parted and parted[1] == PER_USER and percent > 50:
        return f"a floor on p{percent:g} asks the fastest alone; for {percent:g} % of requests write p{100 - percent:g}"
    return None


def _limit(key: str, value: float) -> Limit:
    found = PARTED.fullmatch(key)
    assert found is not None
    return Limit(key, found[1], _percent(found[2]), float(value))


def _percent(text: str | None) -> float | None:
    return float(text.replace("_", ".")) if text else None


def _rank(key: str) -> tuple[int, float]:
    limit = _limit(key, 1.0)
    return METRICS.index(limit.metric), -1.0 if limit.percent is None else limit.percent
