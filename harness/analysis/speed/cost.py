"""What a variant's tokens cost at the SLO, from the price that the user gave. Without a price there is no cost.

tokens per unit of money = capacity [requests/s] x tokens a request x 3600 / (GPUs x price of a GPU-hour): the server
runs at the highest rate that meets the scenario's SLO all the time, which is the cheapest that the SLO allows.
The interval is the capacity's; the price is taken as exact.
"""

from dataclasses import dataclass

from harness.analysis.speed.capacity import estimate
from harness.analysis.speed.performance import PointResult
from harness.analysis.speed.readings import AT_LEAST, Reading
from harness.analysis.statistics.intervals import Estimate
from harness.analysis.study import Study
from harness.records.load_result import LoadResult


@dataclass(frozen=True)
class Cost:
    """Output tokens only, and all tokens (prompt and output). `at_least`: of the tokens; the money is then at most."""

    tokens_per_unit: Estimate
    per_million_output: Estimate
    per_million_total: Estimate
    gpus: int
    at_least: bool


def costs(study: Study, points: dict, capacities: dict[tuple[str, str], Reading]) -> dict[tuple[str, str], Cost]:
    """By (variant, scenario), where the capacity, or a lower bound of it, is known."""
    if study.settings.price is None:
        return {}
    found = {}
    for (name, scenario), reading in capacities.items():
        if reading.value and (rate := estimate(reading) or Estimate(reading.value)):
            prompt, output = tokens_a_request(study, points[name, scenario], scenario)
            gpus = study.variants[name].gpus
            requests = _scaled(rate, 3600 / (gpus * study.settings.price.per_gpu_hour))
            tokens = _scaled(requests, output)
            total = _scaled(requests, prompt + output)
            found[name, scenario] = Cost(
                tokens, _inverse(tokens, 1e6), _inverse(total, 1e6), gpus, reading.status == AT_LEAST
            )
    return found


def tokens_a_request(study: Study, points: tuple[PointResult, ...], scenario: str) -> tuple[float, float]:
    """(prompt, output) tokens as the server counted them, over the valid points; else as the scenario asks for."""
    runs = [run.result for point in points if point.valid for run in point.runs]
    counted = [r for r in runs if isinstance(r, LoadResult) and r.completion_tokens and r.prompt_tokens]
    if requests := sum(r.requests_completed for r in counted):
        return sum(r.prompt_tokens for r in counted) / requests, sum(r.completion_tokens for r in counted) / requests
    facts = study.scenarios[scenario]
    return float(facts.prompt_tokens), float(facts.output_tokens)


def _scaled(e: Estimate, factor: float) -> Estimate:
    return Estimate(e.value * factor, *(None if bound is None else bound * factor for bound in (e.low, e.high)))


def _inverse(e: Estimate, numerator: float) -> Estimate:
    return Estimate(numerator / e.value, *(None if bound is None else numerator / bound for bound in (e.high, e.low)))
