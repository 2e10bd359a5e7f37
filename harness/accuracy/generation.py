"""Many requests to one server, concurrently, each retried a bounded number of times. Not for timing: see load/.

A server's limits are kept (engines/limits.py): so many in flight, so many a minute. A request that is rate-limited all
the same (429, or 403 with Retry-After) is sent again after Retry-After, which does not count as a failure. A final
refusal, such as a used-up quota, ends the suite at once (refusals.py).
"""

import asyncio
import email.utils
import json
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol

from harness.accuracy.completions import Body, Reply, check, counts_of, tolerated, unreadable
from harness.accuracy.refusals import advice, final, is_rate_limit
from harness.engines import Server
from harness.engines.limits import Pace
from harness.errors import CellError
from harness.protocol.failures import failure_of, unwrapped
from harness.protocol.replies import BadReply, parse_json, shown, words
from harness.protocol.urls import REDIRECTS, proxy_of, redirect_words

if TYPE_CHECKING:
    import aiohttp

RETRIES = 3
RETRY_STATUS = {408, 500, 502, 503, 504, 520, 522, 524, 529}  # 52x: Cloudflare's; 529: Anthropic's "overloaded"
SOON_S = 0.2  # at the earliest, whatever it says
MOST_BYTES = 256 << 20  # of an answer; the log-probabilities of a whole vocabulary are some 15 MB
PAUSE_S = 60.0  # at most between two failures, whatever Retry-After says
PATIENCE_S = 600.0  # that one request waits for a server which is rate-limiting the client


class Bodies(Protocol):
    """Requests that are gone through once: they may be made on the way."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Body]: ...


def request_many(
    server: Server,
    path: str,
    bodies: Bodies,
    *,
    concurrency: int,
    timeout_s: float = 600.0,
    progress: Callable[[int, int], None] = lambda done, total: None,
    most_unreadable: int | None = None,
) -> list[Reply]:
    """POST every body to `path` (`/v1/completions`, ...), `concurrency` in flight; the answers in the order asked.

    `bodies` are gone through once, each taken when there is room for it: they may be made on the way.

    Raises CellError when a request is refused (4xx) or has failed RETRIES times: a suite with holes is not a score. The
    exception is an answer that came and that no try could read: up to `most_unreadable` of them are counted as failures
    by itself (completions.unreadable). None: UNREADABLE_SHARE of the answers, or one of several.
    """
    if most_unreadable is None:
        most_unreadable = min(tolerated(len(bodies)), len(bodies) - 1)
    return asyncio.run(_request_many(server, path, bodies, concurrency, timeout_s, progress, most_unreadable))


async def _request_many(
    server: Server,
    path: str,
    bodies: Bodies,
    concurrency: int,
    timeout_s: float,
    progress: Callable[[int, int], None],
    most_unreadable: int,
) -> list[Reply]:
    import aiohttp  # here: preflight and the planner load the suites, and must stay light

    answers: list[Reply] = [{}] * len(bodies)  # each is replaced, or CellError raised
    queue = iter(enumerate(bodies))
    pace = Pace(server.limits)
    done = broken = 0

    async def worker(session: "aiohttp.ClientSession") -> None:
        nonlocal done, broken
        for index, body in queue:
            try:
                answers[index] = await _request(session, server, path, {"model": server.model, **body}, pace)
            except _Unreadable as error:
                broken += 1
                if broken > most_unreadable:
                    raise CellError(str(error)) from None
                answers[index] = unreadable(str(error))
            server.meter.add_usage(counts_of(answers[index]))
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


async def _request(session: "aiohttp.ClientSession", server: Server, path: str, body: Body, pace: Pace) -> Reply:
    import aiohttp

    problem, hint, failures, waited_s, url = "", "", 0, 0.0, server.base_url + path
    came = False  # the last try brought a 200
    while failures <= RETRIES:
        await pace.wait(body)
        retry_after, came = None, False
        try:
            async with session.post(url, json=body, allow_redirects=False) as response:
                data = await _body(response)
                if response.status == 200:
                    answer = unwrapped(parse_json(data))
                    if (broken := failure_of(answer)) is None:
                        check(answer)
                        return answer
                    problem, text = broken, json.dumps(answer)
                else:
                    text = data.decode("utf-8", "replace").strip()
                    problem = f"HTTP {response.status}: {words(text, 300)}"
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
        except BadReply as error:
            problem, hint, came = f"200 with an answer that cannot be read: {error}: {shown(data)}", "", True
        except CellError:
            raise
        except Exception as error:  # the boundary: whatever a server sent costs this try and no other
            came = not isinstance(error, aiohttp.ClientError | TimeoutError | OSError)
            problem, hint = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__, ""
        failures += 1
        if failures <= RETRIES:
            await asyncio.sleep(pause_s(failures, retry_after))
    if waited_s > PATIENCE_S:
        raise CellError(
            f"{url} is rate-limiting the client ({problem}): a request would wait {waited_s:.0f} s, more than "
            f"{PATIENCE_S:.0f} s; lower concurrency=, or set engine.requests_per_minute= to what it allows"
        )
    raise (_Unreadable if came else CellError)(f"{url} failed {failures} times, last: {problem}{hint}")


class _Unreadable(Exception):
    """Every try was answered, the last with something that is no completion."""


async def _body(response: "aiohttp.ClientResponse") -> bytes:
    """Raises BadReply."""
    data = bytearray()
    async for part in response.content.iter_any():
        data += part
        if len(data) > MOST_BYTES:
            raise BadReply(f"more than {MOST_BYTES >> 20} MB")
    return bytes(data)


def pause_s(failures: int, retry_after: str | None) -> float:
    """Before a failed request is sent again."""
    asked_s = min(retry_after_s(retry_after, 0.0), PAUSE_S) if retry_after else 0.0
    return max(min(2.0**failures / 2, 10.0), asked_s)


def retry_after_s(header: str | None, waited_s: float) -> float:
    """Seconds, or an HTTP date (RFC 9110, 10.2.3); without either, as long again as it has waited, 1 to 30 s."""
    seconds = (header or "").strip()
    if seconds.isascii() and seconds.isdigit():
        return max(SOON_S, float(seconds))
    try:
        date = email.utils.parsedate_tz(seconds)
        if date is not None:
            return max(SOON_S, email.utils.mktime_tz(date) - time.time())
    except (ValueError, TypeError, IndexError, OverflowError):  # a date that cannot be
        pass
    return min(max(1.0, waited_s), 30.0)
