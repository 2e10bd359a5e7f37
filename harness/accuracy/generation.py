"""Many requests to one server, concurrently, each retried a bounded number of times. Not for timing: see load/."""

import asyncio
from collections.abc import Callable, Collection
from typing import Any

from harness.engines import Server
from harness.errors import CellError

RETRIES = 3
RETRY_STATUS = {408, 429, 500, 502, 503, 504}


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
    done = 0

    async def worker(session) -> None:
        nonlocal done
        for index, body in queue:
            answers[index] = await _request(session, server, path, {"model": server.model, **body})
            done += 1
            progress(done, len(bodies))

    timeout = aiohttp.ClientTimeout(total=timeout_s)
    connector = aiohttp.TCPConnector(limit=concurrency)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector, headers=server.headers) as session:
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(concurrency, len(bodies))):
                    group.create_task(worker(session))
        except* CellError as failures:
            raise failures.exceptions[0] from None
    return answers


async def _request(session, server: Server, path: str, body: dict[str, Any]) -> dict[str, Any]:
    import aiohttp

    problem = ""
    for attempt in range(RETRIES + 1):
        if attempt:
            await asyncio.sleep(min(2.0**attempt / 2, 10.0))
        try:
            async with session.post(server.base_url + path, json=body) as response:
                if response.status == 200:
                    answer = await response.json()
                    if "error" not in answer:
                        return answer
                    problem = f"200 with an error object: {str(answer['error'])[:300]}"
                    continue
                problem = f"HTTP {response.status}: {(await response.text())[:300]}"
                if response.status not in RETRY_STATUS:
                    raise CellError(f"{server.base_url}{path} refused a request: {problem}")
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            problem = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    raise CellError(f"{server.base_url}{path} failed {RETRIES + 1} times, last: {problem}")
