"""Many requests to one server, concurrently, each retried a bounded number of times. Not for timing: see load/.

A server's limits are kept (engines/limits.py): so many in flight, so many a minute. One that answers "too many
requests" all the same (429) is asked again when it says (Retry-After), which is no failure. A final refusal, such as
a used-up quota, ends the suite at once (refusals.py).
"""

import asyncio
import email.utils
import json
import time
from collections.abc import Callable, Collection
from typing import Any

from harness.accuracy.refusals import advice, final
from harness.engines import Server
from harness.engines.failures import failure_of
from harness.engines.limits import Pace
from harness.engines.urls import REDIRECTS, proxy_of, redirect_words
from harness.errors import CellError
from harness.masking import excerpt

RETRIES = 3
RETRY_STATUS = {408, 500, 502, 503, 504, 520, 522, 524, 529}  # 52x: Cloudflare's; 529: Anthropic's "overloaded"
TOO_MANY = 429
SOON_S = 0.2  # at the earliest, whatever it says
PATIENCE_S = 600.0  # that one request waits for a server which is rate-limiting the client


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
            usage = answers[index].get("usage")
            server.meter.add_usage(usage if isinstance(usage, dict) else None)
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

    problem, hint, failures, waited_s, url = "", "", 0, 0.0, server.base_url + path
    while failures <= RETRIES:
        await pace.wait(body)
        try:
            async with session.post(url, json=body, allow_redirects=False) as response:
                if response.status == 200:
                    answer = await response.json(content_type=None)
                    if (broken := failure_of(answer)) is None:
                        return answer
                    problem, text = broken, json.dumps(answer)
                else:
                    text = (await response.text()).strip()
                    problem = f"HTTP {response.status}: {excerpt(text, 300)}"
                    if response.status in REDIRECTS:
                        problem = f"HTTP {response.status}: {redirect_words(response.headers.get('Location'), path)}"
                retry_after = response.headers.get("Retry-After")
                why = final(response.status, text, retry_after)
                hint = advice(why, response.status, text, body.get("prompt"), server.api_key_env)
                if why or (response.status not in RETRY_STATUS and response.status not in (200, TOO_MANY)):
                    raise CellError(f"{url} refused a request: {problem}{hint}")
                if response.status == TOO_MANY:
                    wait_s = retry_after_s(retry_after, waited_s)
                    waited_s += wait_s
                    if waited_s > PATIENCE_S:
                        break
                    await asyncio.sleep(wait_s)
                    continue
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            problem, hint = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__, ""
        failures += 1
        if failures <= RETRIES:
            await asyncio.sleep(min(2.0**failures / 2, 10.0))
    if waited_s > PATIENCE_S:
        raise CellError(
            f"{url} is rate-limiting the client ({problem}): a request would wait {waited_s:.0f} s, more than "
            f"{PATIENCE_S:.0f} s; lower concurrency=, or set engine.requests_per_minute= to what it allows"
        )
    raise CellError(f"{url} failed {failures} times, last: {problem}{hint}")


def retry_after_s(header: str | None, waited_s: float) -> float:
    """Seconds, or an HTTP date (RFC 9110, 10.2.3); without either, as long again as it has waited, 1 to 30 s."""
    if header and header.strip().isdecimal():
        return max(SOON_S, float(header))
    moment = email.utils.parsedate_tz(header) if header else None
    if moment is not None:
        return max(SOON_S, email.utils.mktime_tz(moment) - time.time())
    return min(max(1.0, waited_s), 30.0)
