"""What the planner gives the client, and what the client gives back: the raw columns of a load cell.

All times are seconds since the cell's start on the monotonic clock.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Failure:
    """Why a request did not complete.

    kind: connect | reset | timeout | cancelled | http_<status> | too_large | bad_http | server_error_object |
    invalid_json | incomplete_stream | no_token_ids (a conversation that cannot be continued) | unreadable (a parser of
    ours gave up: report it)
    """

    kind: str
    message: str


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks of the server."""

    prompt_tokens: int  # of a later turn: if every answer before has the length that was asked
    output_tokens: int
    turn: int = 0  # above 0: it continues the conversation of the request before it (index - 1)
    counted: bool = True  # False: prompt_tokens is an estimate
    bounded: bool = False  # output_tokens is only the most that the answer may have


@dataclass(frozen=True, slots=True)
class Request:
    """One request, ready to be sent: its body is encoded before the clock starts (requests.py)."""

    index: int
    intended_s: float  # of a later turn: seconds from the end of the answer before
    body: bytes
    max_bytes: int  # of response kept; more fails the request
    asked: Asked


@dataclass(slots=True)
class Trace:
    """What happened to one request, unparsed."""

    index: int
    intended_s: float  # scheduled; in a closed loop, when its turn came
    sent_s: float | None = None  # when the request was written; None: it never was its turn
    connect_s: float = 0.0  # of the time before that: opening a connection
    chunks: list[tuple[float, bytes]] = field(default_factory=list)  # (receive time, body bytes) of each read
    end_s: float | None = None  # when it ended, well or not
    status: int | None = None  # HTTP
    error: Failure | None = None
    kernel_stamps: bool = True  # every read had a kernel's stamp
    rejected_stamps: int = 0  # of those: impossible stamps, replaced by this process's time
    beyond: bytes = b""  # what came after the response's end, in the same read


@dataclass(frozen=True)
class WorkerFacts:
    """How one worker process did."""

    cpu_s: float
    wall_s: float
    loop_lag_s: list[float]
    connections: int  # opened
    reads: int
    unasked: int  # reads of bytes that no request was waiting for
    clock_steps: int
    clock_step_s_max: float


@dataclass(frozen=True)
class ClientFacts:
    """How the client itself did, over its worker processes."""

    workers: int
    cpu_s: float  # of all of them
    cpu_share_max: float  # CPU seconds / wall seconds of the busiest one: near 1 it was the bottleneck
    loop_lag_s: list[float]  # how late a worker's loop came to each of its 20 ms ticks
    connections_opened: int
    reads: int
    unasked_reads: int = 0  # of bytes that no request was waiting for
    clock_steps: int = 0  # how often the system's clock was set
    clock_step_s_max: float = 0.0


@dataclass(frozen=True)
class Recording:
    """One run of the client. `traces` are in the order of the requests, and may be iterated more than once."""

    traces: Iterable[Trace]
    asked: list[Asked]
    client: ClientFacts
    start_ns: int  # time zero of the traces on CLOCK_MONOTONIC
