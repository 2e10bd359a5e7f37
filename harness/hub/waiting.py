"""Bounds on how long the hub is waited for: a request without a deadline, or a Retry-After of a day, stops a study.

huggingface_hub retries 408, 429 and 5xx five times and waits as long as the answer asks. Here an answer asks for
MOST_WAIT_S at most, so that the retries of one request end within five minutes, and each wait is logged.
"""

import functools
import logging
import re
from typing import Any

MOST_WAIT_S = 60
TIMEOUT_S = 30.0  # of connecting, and between two parts of an answer; a client's own timeout comes first
RESET = re.compile(r"(;\s*t\s*=\s*)(\d+)")

log = logging.getLogger(__name__)


@functools.cache
def bound() -> None:
    """Bound the sessions of huggingface_hub, datasets and transformers in this process, which share one client."""
    from huggingface_hub import get_session
    from huggingface_hub.utils import _http, set_client_factory

    default = getattr(_http, "default_client_factory", None)
    if default is None:  # a version that makes its client in another way: only the clients' own bounds hold
        return

    def factory() -> Any:
        client = default()
        hooks = client.event_hooks
        client.event_hooks = {**hooks, "response": [*hooks.get("response", []), _bound_wait]}
        client.timeout = TIMEOUT_S
        return client

    set_client_factory(factory)
    get_session()


def _bound_wait(response: Any) -> None:
    """Lower the waiting time that an answer asks for, and log what is waited for."""
    if response.status_code not in (429, 503):
        return
    headers = response.headers
    for name in ("Retry-After", "RateLimit"):
        if name in headers:
            headers[name] = bounded(headers[name])
    log.warning("the hub answers %d; retrying (%s)", response.status_code, response.url.path)


def bounded(value: str) -> str:
    """Return a Retry-After of seconds or a RateLimit header with at most MOST_WAIT_S in it."""
    seconds = value.strip()
    if seconds.isascii() and seconds.isdigit():  # "²" is a digit that int() refuses
        return str(_least(seconds))
    return RESET.sub(lambda found: found[1] + str(_least(found[2])), value)


def _least(digits: str) -> int:
    return MOST_WAIT_S if len(digits) > 6 else min(int(digits), MOST_WAIT_S)
