"""Whether a server can be asked what a sweep wants of it: its dialect, and the limits of a hosted API. Pure."""

from collections.abc import Mapping, Sequence

from harness.accuracy import Suite
from harness.config.schema import Config
from harness.config.workloads import CHAT
from harness.engines import Engine
from harness.engines.dialect import EVERYTHING, TEXT, TOKEN_IDS
from harness.engines.limits import Limits
from harness.loadgen.traffic.verbatim import mean_lengths, sent_as_text
from harness.records.point import LoadPoint

Points = Mapping[str, Sequence[LoadPoint]]


def problems(config: Config, engine: Engine, suites: dict[str, Suite], points: Points) -> list[str]:
    """`points`: the load points of each scenario."""
    return _dialect(config, engine, suites) + _limits(config, engine.limits, points)


def _dialect(config: Config, engine: Engine, suites: dict[str, Suite]) -> list[str]:
    lacking = EVERYTHING - engine.dialect.gives
    if not lacking:
        return []
    found = []
    for name, suite in suites.items():
        wanted = suite.asks() & lacking
        found += [_refusal(f"suite {name}", need, engine) for need in sorted(wanted)]
    for name, scenario in config.scenarios.items():
        if scenario.turns > 1 and scenario.api != CHAT and TOKEN_IDS in lacking:
            found.append(_refusal(f"scenario {name}", TOKEN_IDS, engine))
        elif engine.dialect.send_as == TEXT and not sent_as_text(scenario):
            found.append(f"scenario {name} sends token ids, and engine.send_as=text; set scenarios.{name}.send_as=text")
    return found


def _refusal(what: str, need: str, engine: Engine) -> str:
    return f"{what} needs {need}, which {engine.label} does not return; leave it out, or use engine=vllm"


def _limits(config: Config, limits: Limits, points: Points) -> list[str]:
    """A load point above a limit would measure the limit. Suites keep to it by themselves (accuracy/generation.py).

    How fast a closed loop asks is known once it has: the server's refusals are errors of that cell.
    """
    found = []
    for name, scenario in config.scenarios.items():
        tokens = sum(mean_lengths(scenario))
        for point in points[name]:
            if not point.repeat:
                found += [f"scenario {name}: {wrong}" for wrong in _above(config, limits, point, tokens)]
    return found


def _above(config: Config, limits: Limits, point: LoadPoint, tokens: int) -> list[str]:
    found = []
    highest = {
        "capacity": (config.load.capacity.max_rps, "load.capacity.max_rps"),
        "ramp": (max(config.load.ramp_rps, default=None), "load.ramp_rps"),
    }
    rate, setting = highest.get(point.profile, (point.rate_rps, "load.rates_rps"))
    for name, each in (("requests_per_minute", 1), ("tokens_per_minute", tokens)):
        most = getattr(limits, name)
        if rate is not None and most and 60 * rate * each > most:
            of = f" of {tokens} tokens" if each > 1 else ""
            found.append(
                f"rate {rate:g}/s{of} exceeds engine.{name}={most:g}; {setting}: at most {most / 60 / each:.3g}"
            )
    for name, each in (("requests_per_minute", 1), ("tokens_per_minute", tokens)):
        most = getattr(limits, name)
        if point.profile == "throughput" and most and point.requests * each > most:
            found.append(
                f"throughput sends {point.requests} requests at once, more than engine.{name}={most:g}; "
                f"load.throughput_requests: at most {most // each:g}"
            )
    flight, most = point.requests if point.profile == "throughput" else point.concurrency, limits.max_concurrency
    if most and flight and flight > most:
        instead = "load.throughput_requests=0 and " if point.profile == "throughput" else ""
        found.append(
            f"{point.slug} has {flight} requests in flight, engine.max_concurrency={most}; set {instead}"
            f"load.concurrencies=[{most}]"
        )
    return found
