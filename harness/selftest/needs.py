"""What a sweep asks of the client."""

from dataclasses import dataclass

from harness.config.schema import Config
from harness.loadgen.traffic.verbatim import mean_lengths
from harness.sweeps.prepare import points_of


@dataclass(frozen=True)
class Needs:
    rate_rps: float  # highest offered request rate
    streams: int  # most requests open at once that the client starts by itself
    tok_per_s: float  # highest offered rate of generated tokens

    # What one GPU with an 8B model asks, where no sweep is named.
    @classmethod
    def default(cls) -> "Needs":
        return cls(rate_rps=50.0, streams=512, tok_per_s=10_000.0)

    @classmethod
    def of(cls, config: Config) -> "Needs":
        """The most of every scenario's load points. A capacity search may go up to its max_rps: not counted."""
        rates, streams, tokens = [0.0], [1], [0.0]
        for name, points in points_of(config).items():
            for point in points:
                if point.rate_rps is not None:
                    rates.append(point.rate_rps)
                    tokens.append(point.rate_rps * mean_lengths(config.scenarios[name])[1])
                elif point.profile == "throughput" or point.concurrency is not None:
                    streams.append(min(point.requests, point.concurrency or point.requests))
        return cls(max(rates), max(streams), max(tokens))
