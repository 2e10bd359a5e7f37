"""Whether the client produced the load that was asked: flags of its lateness, its clock and its time stamps."""

from harness.loadgen.samples import Sample
from harness.loadgen.spread import percentile_ms
from harness.records.flag import Flag
from harness.records.load_result import LoadResult
from harness.records.point import LoadPoint

OF_THE_CLIENT = ("client_lag", "rate_not_offered", "client_cpu")  # flags that say that it did not produce the load
LAG_FLOOR_MS = 10.0
LAG_SHARE = 0.10
STALL_MS = 100.0
RATE_SHARE = 0.02
BUSY, TOO_BUSY = 0.80, 0.95
REJECTED_SHARE = 0.05


def client_flags(result: LoadResult, sent: list[Sample], point: LoadPoint, workers: int) -> list[Flag]:
    return [
        *_send_lag(result, point),
        *_arrivals(sent, point),
        *_client_load(result, workers),
        *_time_stamps(result),
        *_clock(result),
    ]


def _send_lag(result: LoadResult, point: LoadPoint) -> list[Flag]:
    """A late send corrupts what counts from the intended time, and the arrival process: at a rate, TTFT.

    Invalid above max(10 ms, 10 % of the median TTFT). With everything sent at once there is no arrival process, and
    the lag is a small ramp of the batch: invalid above 10 % of the duration. Token gaps do not depend on sends. A stall
    that hits fewer than 1 % of the requests is a caution: it is in the highest TTFT, not in p99.
    """
    if point.profile == "throughput":
        limit_ms = LAG_SHARE * 1e3 * (result.duration_s or 0.0)
    else:
        limit_ms = LAG_SHARE * (result.ttft_ms.p50 or 0.0)
    limit_ms = max(LAG_FLOOR_MS, limit_ms)
    lag_ms, stall_ms = result.send_lag_ms_p99, result.client.event_loop_lag_ms_max
    if lag_ms is not None and lag_ms > limit_ms:
        message = f"the client sent late: p99 {lag_ms:.1f} ms, limit {limit_ms:.1f} ms; TTFT is not the server's alone"
        return [Flag("client_lag", "invalid", message)]
    if stall_ms is not None and stall_ms > max(STALL_MS, limit_ms):
        message = f"the client paused for {stall_ms:.0f} ms: the TTFT of requests due then contains it"
        return [Flag("client_stall", "caution", message)]
    return []


def _arrivals(sent: list[Sample], point: LoadPoint) -> list[Flag]:
    """At a rate, the sends themselves must span the scheduled time: 2 % more is another rate than the point says.

    Opening a connection is not counted: when the server accepts slowly, that is its own doing.
    """
    firsts = [s for s in sent if s.asked.turn == 0]
    if point.rate_rps is None or point.concurrency is not None or len(firsts) < 2:
        return []
    meant = [s.intended_s for s in firsts]
    done = [s.sent_s - s.connect_s for s in firsts if s.sent_s is not None]
    meant_s, done_s = max(meant) - min(meant), max(done) - min(done)
    if done_s <= (1 + RATE_SHARE) * meant_s:
        return []
    rate = point.rate_rps * meant_s / done_s
    message = f"the client offered {rate:.4g} requests/s instead of {point.rate_rps:.4g}: raise load.workers"
    return [Flag("rate_not_offered", "invalid", message)]


def _client_load(result: LoadResult, workers: int) -> list[Flag]:
    """A client process is single-threaded: near a whole core its queues grow, and it measures itself."""
    share = result.client.client_cpu_share_max
    if share is None or share <= BUSY:
        return []
    level = "invalid" if share > TOO_BUSY else "caution"
    message = f"the busiest of {workers} client processes used {share:.0%} of a core: raise load.workers"
    return [Flag("client_cpu", level, message)]


def _time_stamps(result: LoadResult) -> list[Flag]:
    """The kernel's stamps are right however late the client reads them. Others are as late as its event loop: a caution
    above 10 % of the median ITL, and declared in any case.
    """
    if result.timestamps in ("kernel", None):
        return []
    if result.rejected_stamps and result.timestamps != "user":  # _clock tells of those
        return []
    message = "token times were taken in user space: TLS, or a kernel that does not stamp packets, makes that necessary"
    found = [Flag("user_timestamps", "note", message)]
    loop_ms, itl_ms = result.client.event_loop_lag_ms_p99, result.itl_ms.p50
    if loop_ms is not None and itl_ms is not None and loop_ms > max(1.0, LAG_SHARE * itl_ms):
        message = f"user-space time stamps and an event loop {loop_ms:.1f} ms late at p99: token times are smeared"
        found.append(Flag("event_loop_lag", "caution", message))
    return found


def _clock(result: LoadResult) -> list[Flag]:
    """Kernel stamps are of the system's clock. A stamp that cannot be is replaced by the time at which it was read. One
    that a step moved by less than the distance to its neighbours is taken, but the step itself is always counted.
    """
    steps, rejected = result.client.clock_steps, result.rejected_stamps
    if not steps and not rejected:
        return []
    said = []
    if steps:
        times = "once" if steps == 1 else f"{steps} times"
        said.append(f"the system's clock was set {times}, by at most {result.client.clock_step_ms_max:.1f} ms")
    if rejected:
        said.append(f"{rejected} kernel time stamps cannot be and are replaced by the time of reading, which is later")
    message = "; ".join(said)
    level = "invalid" if rejected > REJECTED_SHARE * result.token_events else "caution"
    return [Flag("clock_step" if steps else "rejected_stamps", level, message)]


def connecting(result: LoadResult, sent: list[Sample]) -> list[Flag]:
    """Connections are opened ahead of time. Where opening one still cost a request over 10 % of the median TTFT, TTFT
    holds more than the engine's time.
    """
    connect_ms = percentile_ms([s.connect_s for s in sent], 99)
    limit_ms = max(LAG_FLOOR_MS, LAG_SHARE * (result.ttft_ms.p50 or 0.0))
    if connect_ms is None or connect_ms <= limit_ms:
        return []
    message = f"opening a connection took {connect_ms:.1f} ms at p99, limit {limit_ms:.1f} ms; it is in TTFT"
    return [Flag("slow_connections", "caution", message)]
