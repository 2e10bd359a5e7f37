"""One request of a load cell, parsed: what was asked of it, when, and what came back."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.loadgen.client.sse import parse
from harness.loadgen.client.trace import Asked, Failure, Trace
from harness.records.request import Request, Timed

MOST_TIMES, LEEWAY = 4, 64  # so many times what was asked, and so many tokens more, no server can have counted


@dataclass(frozen=True, slots=True, eq=False)
class Sample(Timed):
    """Seconds since the cell's start. Slots and one array a request: 100,000 x 128 tokens take about 150 MB."""

    index: int
    asked: Asked
    intended_s: float  # scheduled; of a later turn and in a closed loop, when its turn came
    sent_s: float | None  # None: it never was its turn
    connect_s: float
    end_s: float | None
    token_s: np.ndarray  # float64; receive time of each event that carried a token
    merged_events: int
    prompt_tokens: int | None  # by the server's usage
    completion_tokens: int | None
    error: Failure | None
    kernel_stamps: bool = True  # every read had one
    rejected_stamps: int = 0  # of those: stamps that cannot be
    oddities: tuple[str, ...] = ()  # what cannot be of one answer: client/oddities.py

    @property
    def completed(self) -> bool:
        return self.sent_s is not None and self.error is None

    @property
    def cancelled(self) -> bool:
        return self.error is not None and self.error.kind == "cancelled"

    @property
    def failed(self) -> bool:
        return self.error is not None and not self.cancelled

    @property
    def input_tokens(self) -> int:
        """Tokens of the prompt, as the server counts them."""
        return self.asked.prompt_tokens if self.prompt_tokens is None else self.prompt_tokens

    @property
    def output_tokens(self) -> int:
        """Tokens generated, as the server counts them."""
        return len(self.token_s) if self.completion_tokens is None else self.completion_tokens

    @property
    def generated(self) -> int:
        return self.output_tokens

    @property
    def send_lag_s(self) -> float:
        assert self.sent_s is not None
        return self.sent_s - self.intended_s - self.connect_s


def sample(trace: Trace, asked: Asked) -> Sample:
    stream = parse(trace) if trace.sent_s is not None else None
    counts = {"prompt_tokens": asked.prompt_tokens, "completion_tokens": asked.output_tokens}
    said: dict[str, int | None] = {name: getattr(stream, name, None) for name in counts}
    most = {name: MOST_TIMES * count + LEEWAY for name, count in counts.items()}
    known = [name for name in counts if asked.counted or name != "prompt_tokens"]
    impossible = [name for name in known if (count := said[name]) is not None and count > most[name]]
    said |= dict.fromkeys(impossible)
    return Sample(
        index=trace.index,
        asked=asked,
        intended_s=trace.intended_s,
        sent_s=trace.sent_s,
        connect_s=trace.connect_s,
        end_s=trace.end_s,
        token_s=np.array(stream.token_s if stream else [], dtype=np.float64),
        merged_events=stream.merged_events if stream else 0,
        prompt_tokens=said["prompt_tokens"],
        completion_tokens=said["completion_tokens"],
        error=stream.error if stream else trace.error,
        kernel_stamps=trace.kernel_stamps,
        rejected_stamps=trace.rejected_stamps,
        oddities=(*(stream.oddities if stream else ()), *(["impossible_usage"] if impossible else [])),
    )


def row(s: Sample) -> dict[str, Any]:
    """The raw columns of a request, from which every metric can be computed again. Rounded to a microsecond."""
    request = Request(
        index=s.index,
        turn=s.asked.turn,
        prompt_tokens=s.input_tokens,
        output_tokens=s.asked.output_tokens,
        intended_s=round(s.intended_s, 6),
        sent_s=None if s.sent_s is None else round(s.sent_s, 6),
        connect_s=round(s.connect_s, 6),
        token_s=np.round(s.token_s, 6).tolist(),
        end_s=None if s.end_s is None else round(s.end_s, 6),
        completion_tokens=s.completion_tokens,
        error=None if s.error is None else {"kind": s.error.kind, "message": s.error.message},
    )
    return request.to_json()


def sample_of(stored: Mapping[str, Any]) -> Sample:
    """Return a request from its stored columns."""
    r = Request.from_json(stored)
    return Sample(
        index=r.index,
        asked=Asked(r.prompt_tokens or 0, r.output_tokens or 0, r.turn),
        intended_s=r.intended_s,
        sent_s=r.sent_s,
        connect_s=r.connect_s,
        end_s=r.end_s,
        token_s=np.array(r.token_s, dtype=np.float64),
        merged_events=0,
        prompt_tokens=r.prompt_tokens,
        completion_tokens=r.completion_tokens,
        error=None if r.error is None else Failure(r.error["kind"], r.error["message"]),
    )


def conversations(samples: list[Sample]) -> Iterator[list[Sample]]:
    """The samples of each conversation, which follow one another; a request without later turns is one by itself."""
    current: list[Sample] = []
    for s in samples:
        if s.asked.turn == 0 and current:
            yield current
            current = []
        current.append(s)
    if current:
        yield current
