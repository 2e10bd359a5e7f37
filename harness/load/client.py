"""The measured path: send on schedule, stamp what comes back, keep the bytes. Nothing is parsed here.

`run_schedule` is the seam: requests in, traces out. Another client (several processes, a leaner HTTP) has only to
keep that signature.
"""

import asyncio
import gc
import time
from collections.abc import Callable, Sequence
from typing import Any

import aiohttp

from harness.engines import Server
from harness.load.requests import PATH
from harness.load.sockets import allow_open_files, stamped_socket, stamping
from harness.load.trace import Failure, Recording, Request, Trace

LEAD_S = 0.05  # between the start of the loop and the cell's time zero, so that the first request is not late
LOOP_SAMPLE_S = 0.02
SPIN_S = 0.0015
# Servers close idle connections (uvicorn after 5 s), and a POST on a connection that is just being closed fails
# through no fault of the engine: let go of them first.
KEEPALIVE_S = 2.0


def run_schedule(
    server: Server,
    requests: Sequence[Request],
    *,
    concurrency: int | None,
    request_timeout_s: float,
    cell_timeout_s: float,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Recording:
    """Send every request at its intended time; one trace a request, in the order given.

    concurrency: None is an open loop (nothing waits for an earlier request); n is a closed loop with at most n in
    flight. After `cell_timeout_s` what is open is cancelled and what was not sent stays so. No failure of a request
    raises: it is in its trace.
    """
    allow_open_files(min(len(requests), concurrency or len(requests)))
    # A collection over everything that the process has imported stalls the loop for 100 ms: put that out of its reach.
    gc.collect()
    gc.freeze()
    cpu_s = time.process_time()
    try:
        with stamping():
            run = _run(server, requests, concurrency, request_timeout_s, cell_timeout_s, progress)
            traces, loop_lag_s = asyncio.run(run)
    finally:
        gc.unfreeze()
    return Recording(traces, loop_lag_s, time.process_time() - cpu_s)


async def _run(server, requests, concurrency, request_timeout_s, cell_timeout_s, progress):
    traces = [Trace(request.index, request.intended_s) for request in requests]
    queue = iter(zip(requests, traces, strict=True))
    done = 0
    headers = {"Content-Type": "application/json", "Accept-Encoding": "identity", **server.headers}
    connector = aiohttp.TCPConnector(
        limit=0, keepalive_timeout=KEEPALIVE_S, ttl_dns_cache=None, socket_factory=stamped_socket
    )
    start = time.monotonic() + LEAD_S
    async with aiohttp.ClientSession(
        connector=connector,
        headers=headers,
        timeout=aiohttp.ClientTimeout(total=request_timeout_s),
        trace_configs=[_send_hooks(start)],
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
    ) as session:

        async def send(request: Request, trace: Trace) -> None:
            nonlocal done
            await _send(session, server.base_url + PATH, request, trace, start)
            done += 1
            progress(done, len(requests))

        async def closed_loop() -> None:
            for request, trace in queue:
                trace.intended_s = max(request.intended_s, time.monotonic() - start)
                await _sleep_until(start + trace.intended_s)
                await send(request, trace)

        loop_lag_s: list[float] = []
        sampler = asyncio.create_task(_sample_loop_lag(loop_lag_s))
        try:
            async with asyncio.timeout(LEAD_S + cell_timeout_s), asyncio.TaskGroup() as group:
                if concurrency is None:
                    for request, trace in queue:
                        await _sleep_until(start + request.intended_s)
                        group.create_task(send(request, trace))
                else:
                    for _ in range(min(concurrency, len(requests))):
                        group.create_task(closed_loop())
        except TimeoutError:
            pass  # of the cell: the group has cancelled what was open, and the traces say so
        finally:
            sampler.cancel()
    return traces, loop_lag_s


def _send_hooks(start: float) -> aiohttp.TraceConfig:
    """aiohttp's hooks, given the Trace as their context: when a connection was opened, and the request written."""
    hooks = aiohttp.TraceConfig()

    async def connecting(_session, context, _params) -> None:
        context.connecting_s = time.monotonic()

    async def connected(_session, context, _params) -> None:
        context.trace_request_ctx.connect_s = time.monotonic() - context.connecting_s

    async def sent(_session, context, _params) -> None:
        context.trace_request_ctx.sent_s = time.monotonic() - start

    hooks.on_connection_create_start.append(connecting)
    hooks.on_connection_create_end.append(connected)
    hooks.on_request_headers_sent.append(sent)
    return hooks


async def _send(session: aiohttp.ClientSession, url: str, request: Request, trace: Trace, start: float) -> None:
    trace.sent_s = time.monotonic() - start  # tried; the hook corrects it to when it is written
    size = 0
    try:
        post = session.post(url, data=request.body, trace_request_ctx=trace, allow_redirects=False)
        async with post as response:
            trace.status = response.status
            sock = _stamped(response)
            while data := await response.content.readany():
                received_s = sock.received_s if sock is not None else None
                if received_s is None:
                    received_s = time.monotonic()
                    trace.kernel_stamps = False
                trace.chunks.append((received_s - start, data))
                size += len(data)
                if size > request.max_bytes:
                    trace.error = Failure("too_large", f"more than {request.max_bytes} bytes of response")
                    break
            if response.status != 200:
                body = b"".join(data for _, data in trace.chunks)[:300].decode("utf-8", "replace")
                wait = response.headers.get("Retry-After")
                trace.error = Failure(f"http_{response.status}", body + (f" (Retry-After: {wait})" if wait else ""))
    except asyncio.CancelledError:
        trace.error = Failure("cancelled", "open when the cell ran out of time")
        raise
    except Exception as error:
        trace.error = _failure(error)
    finally:
        trace.end_s = time.monotonic() - start


def _stamped(response: aiohttp.ClientResponse) -> Any:
    """The StampedSocket that this response arrives on; None for TLS and for one that is already complete."""
    connection = response.connection
    transport = connection.transport if connection is not None else None
    if transport is None or transport.get_extra_info("sslcontext") is not None:
        return None
    sock = transport.get_extra_info("socket")  # asyncio hands out a wrapper without attributes of ours
    return getattr(sock, "_sock", None)


def _failure(error: Exception) -> Failure:
    message = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if isinstance(error, TimeoutError):
        return Failure("timeout", "no end of the response within the request time-out")
    if isinstance(error, aiohttp.ClientConnectorError):
        return Failure("connect", message)
    if isinstance(error, aiohttp.ClientPayloadError):
        # aiohttp keeps the socket's error in the text only.
        return Failure("reset" if "ConnectionResetError" in message else "incomplete_stream", message)
    if isinstance(error, (aiohttp.ServerDisconnectedError, OSError)):
        return Failure("reset", message)
    if isinstance(error, aiohttp.ClientResponseError):
        return Failure("bad_http", message)
    return Failure("client", message)


async def _sleep_until(moment: float) -> None:
    # epoll rounds a wait up to a whole millisecond: sleep short of the moment, then yield until it has come.
    while (left := moment - time.monotonic()) > 0:
        await asyncio.sleep(max(0.0, left - SPIN_S))


async def _sample_loop_lag(lags: list[float]) -> None:
    while True:
        due = time.monotonic() + LOOP_SAMPLE_S
        await asyncio.sleep(LOOP_SAMPLE_S)
        lags.append(time.monotonic() - due)
