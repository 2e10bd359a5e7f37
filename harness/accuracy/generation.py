"""Many requests to one server, concurrently, each retried a bounded number of times. Not for timing: see load/.

A server's limits are kept (engines/limits.py): so many in flight, so many a minute. A request that is rate-limited all
the same (429, or 403 with Retry-After) is sent again after Retry-After, which does not count as a failure. A final
refusal, such as a used-up quota, ends the suite at once (refusals.py).
"""

import asyncio
import email.utils
import json
import time
from collections.abc import Callable, Collection
from typing import Any

from harness.accuracy.refusals import advice, final, is_rate_limit
from harness.engines import Server
from harness.engines.failures import failure_of, unwrapped
from harness.engines.limits import Pace
from harness.engines.urls import REDIRECTS, proxy_of, redirect_words
from harness.errors import CellError
from harness.masking import excerpt

RETRIES = 3
RETRY_STATUS = {408, 500, 502, 503, 504, 520, 522, 524, 529}  # 52x: Cloudflare's; 529: Anthropic's "overloaded"
SOON_S = 0.2  # at the earliest, whatever it says
PAUSE_S = 60.0  # at most between two failures, whatever Retry-After says
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
    # the proxy by name and not by trust_env, which would send the credentials of ~/.netrc too
    settings = {"headers": server.headers, "proxy": proxy_of(server.base_url)}
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
        retry_after = None
        try:
            async with session.post(url, json=body, allow_redirects=False) as response:
                if response.status == 200:
                    answer = unwrapped(await response.json(content_type=None))
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
                too_many = is_rate_limit(response.status, retry_after)
                if why or not (too_many or response.status == 200 or response.status in RETRY_STATUS):
                    raise CellError(f"{url} refused a request: {problem}{hint}")
                if too_many:
                    wait_s = retry_after_s(retry_after, waited_s)
                    waited_s += wait_s
                    if waited_s > PATIENCE_S:
                        break
                    await asyncio.sleep(wait_s)
                    continue
        except (aiohttp.ClientError, TimeoutError, ValueError, RecursionError) as error:
            problem, hint = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__, ""
        failures += 1
        if failures <= RETRIES:
            asked_s = min(retry_after_s(retry_after, 0.0), PAUSE_S) if retry_after else 0.0
            await asyncio.sleep(max(min(2.0**failures / 2, 10.0), asked_s))
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
