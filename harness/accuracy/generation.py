"""Many requests to one server, concurrently, each retried a bounded number of times. Not for timing: see load/.

A server's limits are kept (engines/limits.py): so many in flight, so many a minute. One that answers "too many
requests" all the same (429) is asked again when it says (Retry-After), which is no failure.
"""

import asyncio
import email.utils
import time
from collections.abc import Callable, Collection
from typing import Any

from harness.engines import Server
from harness.engines.failures import failure_of
from harness.engines.limits import Pace
from harness.engines.urls import REDIRECTS, proxy_of, redirect_words
from harness.errors import CellError

RETRIES = 3
RETRY_STATUS = {408, 500, 502, 503, 504}
TOO_MANY = 429
SOON_S = 0.2  # at the earliest, whatever it says
PATIENCE_S = 600.0  # that one request waits for a server which says that it is asked too much


def request_many(
    server: Server,
    path: str,
    bodies: Collection[dict[str, Any]],
    *,
    concurrency: int,
    timeout_s: float = 600.0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[dict[str, Any]]:
    """POST every body to `path` (`/v1/completions`, ...), `concurrency` in flight; the answers in the order asked.

    `bodies` are gone through once, each taken when there is room for it: they may be made on the way.

    Raises CellError when a request is refused (4xx) or has failed RETRIES times: a suite with holes is not a score.
    """
    return asyncio.run(_request_many(server, path, bodies, concurrency, timeout_s, progress))


async def _request_many(server, path, bodies, concurrency, timeout_s, progress):
    import aiohttp  # here: preflight and the planner load the suites, and must stay light

    answers: list[dict[str, Any] | None] = [None] * len(bodies)
    queue = iter(enumerate(bodies))
    pace = Pace(server.limits)
    done = 0

    async def worker(session) -> None:
        nonlocal done
        for index, body in queue:
            answers[index] = await _request(session, server, path, {"model": server.model, **body}, pace)
            server.meter.add_usage(answers[index].get("usage"))
            done += 1
            progress(done, len(bodies))

    timeout = aiohttp.ClientTimeout(total=timeout_s)
    connector = aiohttp.TCPConnector(limit=concurrency)
    settings = {"headers": server.headers, "trust_env": proxy_of(server.base_url) is not None}
    async with aiohttp.ClientSession(timeout=timeout, connector=connector, **settings) as session:
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(concurrency, len(bodies))):
                    group.create_task(worker(session))
        except* CellError as failures:
            raise failures.exceptions[0] from None
    return answers


async def _request(session, server: Server, path: str, body: dict[str, Any], pace: Pace) -> dict[str, Any]:
    import aiohttp

    problem, failures, waited_s = "", 0, 0.0
    while failures <= RETRIES and waited_s <= PATIENCE_S:
        await pace.wait(body)
        try:
            async with session.post(server.base_url + path, json=body, allow_redirects=False) as response:
                if response.status == 200:
                    answer = await response.json()
                    failure = failure_of(answer)
                    if failure is None:
                        return answer
                    problem = f"200 with {failure}"
                else:
                    problem = f"HTTP {response.status}: {(await response.text())[:300]}"
                    if response.status in REDIRECTS:
                        problem = f"HTTP {response.status}: {redirect_words(response.headers.get('Location'), path)}"
                    if response.status == TOO_MANY:
                        wait_s = retry_after_s(response.headers.get("Retry-After"), waited_s)
                        waited_s += wait_s
                        await asyncio.sleep(min(wait_s, PATIENCE_S))
                        continue
                    if response.status not in RETRY_STATUS:
                        raise CellError(f"{server.base_url}{path} refused a request: {problem}")
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            problem = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        failures += 1
        if failures <= RETRIES:
            await asyncio.sleep(min(2.0**failures / 2, 10.0))
    if waited_s > PATIENCE_S:
        raise CellError(
            f"{server.base_url}{path} is asked too much ({problem}): it made a request wait {waited_s:.0f} s; lower "
            "concurrency=, or set engine.requests_per_minute= to what it allows"
        )
    raise CellError(f"{server.base_url}{path} failed {failures} times, last: {problem}")


def retry_after_s(header: str | None, waited_s: float) -> float:
    """Seconds, or an HTTP date (RFC 9110, 10.2.3); without either, as long again as it has waited, 1 to 30 s."""
    if header and header.strip().isdecimal():
        return max(SOON_S, float(header))
    moment = email.utils.parsedate_tz(header) if header else None
    if moment is not None:
        return max(SOON_S, email.utils.mktime_tz(moment) - time.time())
    return min(max(1.0, waited_s), 30.0)
