"""How long a load cell takes on a server of a given pace: until its last answer ends, not until its last request.

An open loop is a queue: where requests arrive faster than the server works, it is the work that decides. A trace is
replayed arrival by arrival; a ladder's point has requests of one length, evenly spaced.
"""

from collections.abc import Iterable

from harness.config.workloads import LoadPoints, Scenario
from harness.loadgen.traffic.replay import replayed
from harness.loadgen.traffic.verbatim import mean_lengths
from harness.records.point import LoadPoint
from harness.sweeps.estimates.pace import Pace

BURST = 64  # requests at once before a capacity search
LONGER = 1.25  # mean length of its probes over what the settings ask (tests/benchmarks/capacity.py)
REQUEST_S = 0.002  # of the client, for a request's prompt, trace and row


def load_s(scenario: Scenario, point: LoadPoint, load: LoadPoints, pace: Pace) -> float:
    """Return the seconds of a cell; `load.cell_timeout_s` cuts a point off, and each probe of a search."""
    tokens = conversation_tokens(scenario)
    thinking_s = (scenario.turns - 1) * scenario.think_s
    answer_s = pace.request_s(*tokens) + thinking_s
    most_s, fixed_s = load.cell_timeout_s, pace.cell_s + point.requests * REQUEST_S
    if point.profile == "capacity":
        return fixed_s + _search_s(load, pace, tokens, answer_s)
    if point.trace_sha256 is not None:
        arrivals = [(a.at_s / point.trace_speed, a.prompt_tokens, a.output_tokens) for a in replayed(point, load)]
        return fixed_s + min(most_s, replay_s(arrivals, pace))
    if point.rate_rps:
        spread_s = max(point.requests / point.rate_rps, point.requests * pace.work_s(*tokens))
        return fixed_s + min(most_s, spread_s + answer_s)
    streams = point.concurrency or point.requests
    rounds = point.requests / max(1, streams)
    return fixed_s + min(most_s, pace.closed_s(point.requests, *tokens, streams) + rounds * thinking_s)


def replay_s(arrivals: Iterable[tuple[float, float, float]], pace: Pace) -> float:
    """Return when the last answer ends. `arrivals`: (seconds since the first, prompt tokens, answer tokens)."""
    busy_until_s = end_s = 0.0
    for at_s, prompt, output in arrivals:
        busy_until_s = max(busy_until_s, at_s) + pace.work_s(prompt, output)
        end_s = max(end_s, busy_until_s, at_s + pace.request_s(prompt, output))
    return end_s


def _search_s(load: LoadPoints, pace: Pace, tokens: tuple[float, float], answer_s: float) -> float:
    """All probes at the rate that saturates the server, by LONGER as long as their arrivals need: those that aim at the
    precision are up to twice as long, and one beyond the capacity drains for as long as it arrived.
    """
    search = load.capacity
    work_s = pace.work_s(*tokens)
    rate = min(max(1 / work_s if work_s else search.max_rps, search.min_rps), search.max_rps)
    probe_s = min(load.cell_timeout_s, LONGER * max(search.duration_s, search.requests / rate) + answer_s)
    return min(BURST, search.requests) * work_s + answer_s + search.probes * (pace.cell_s + probe_s)


def conversation_tokens(scenario: Scenario) -> tuple[float, float]:
    """Return the tokens of prompts and of answers that a request sends and gets, all turns of it together."""
    prompt, output = mean_lengths(scenario)
    message = prompt if scenario.turn_tokens is None else scenario.turn_tokens
    prompts = [
        prompt + turn * (output + message) for turn in range(scenario.turns)
    ]  # a later turn resends what was said
    return sum(prompts), scenario.turns * output
