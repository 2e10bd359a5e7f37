"""Can a model or a dataset of the hub be had, and which commit is it? Asked before anything starts."""

from functools import lru_cache
from typing import Any
from urllib.parse import quote

from harness.errors import HarnessError
from harness.hub.failures import Place, explain, known, offline
from harness.hub.waiting import bound

TIMEOUT_S = 5.0
RETRIES = 2  # 1 s and 2 s: preflight says what the run would only find out later


def commit(place: Place) -> str:
    """Ask the hub for the commit and, of a gated repository, for access. Raises HarnessError with what to do."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        raise HarnessError(offline(place))
    if reason := unreachable():
        raise HarnessError(f"{place} is not in the hub's cache, and {reason}; connect, or use local files")
    bound()
    try:
        found = _information(place).get("sha")
    except Exception as error:  # huggingface_hub raises its own, its HTTP library's and OSError
        raise HarnessError(explain(error, place)) from None
    if not isinstance(found, str):
        raise HarnessError(f"{place}: {constants.ENDPOINT} names no commit of it; correct HF_ENDPOINT")
    return found


def problem(place: Place) -> str | None:
    """Return why the hub does not give it, in one line; None where it does."""
    try:
        commit(place)
    except HarnessError as error:
        return str(error)
    return None


def why(error: Exception, place: Place) -> str:
    """Return the line for a failed load. Where the library dropped the hub's answer, the hub is asked once more."""
    return known(error, place) or problem(place) or explain(error, place)


@lru_cache(maxsize=1)
def unreachable() -> str | None:
    """Return why the hub cannot be asked at all; None when it answers."""
    import urllib.error
    import urllib.request

    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    try:
        urllib.request.urlopen(constants.ENDPOINT, timeout=TIMEOUT_S).close()
    except urllib.error.HTTPError:
        return None  # it answered
    except (OSError, ValueError) as error:  # ValueError: HF_ENDPOINT is no URL
        return f"{constants.ENDPOINT} cannot be reached ({getattr(error, 'reason', error)})"
    return None


def _information(place: Place) -> dict[str, Any]:
    """Return the repository's information: it is public where the files are gated, so access is asked for as well.

    Raises what huggingface_hub raises.
    """
    from huggingface_hub import constants

    base = f"{constants.ENDPOINT}/api/{place.kind}s/{place.name}"
    information = _get(f"{base}/revision/{quote(place.revision, safe='')}" if place.revision else base)
    if not isinstance(information, dict):
        raise ValueError(f"{constants.ENDPOINT} answers no information of a repository; correct HF_ENDPOINT")
    if information.get("gated"):
        _get(f"{base}/auth-check")
    return information


def _get(url: str) -> Any:
    from huggingface_hub.utils import build_hf_headers, hf_raise_for_status, http_backoff

    answer = http_backoff("GET", url, headers=build_hf_headers(), timeout=TIMEOUT_S, max_retries=RETRIES)
    hf_raise_for_status(answer)
    return answer.json()
