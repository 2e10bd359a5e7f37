"""Regular expressions of others, with a time limit: `re` has none, and a pattern may backtrack for ever.

`re` decides what a pattern is; the `regex` package, whose plain syntax matches as `re` does and which can be
interrupted, runs it.
"""

import re
import time
import warnings
from collections.abc import Callable

import regex

from harness.errors import ConfigError

LONGEST = 10_000  # characters
MATCH_S, ALL_S = 1.0, 10.0  # CPU time of one match, and of all matches of a pattern; ordinary: microseconds
_OTHERWISE_IN_REGEX = re.compile(r"(\\.)|(\{(?!\d*(?:,\d*)?\}))|(\[\[:)", re.DOTALL)  # fuzzy matching, POSIX classes


class SlowPattern(ConfigError):
    """A pattern was stopped."""


class Pattern:
    """A compiled pattern. Raises ValueError for a text that is no regular expression, in `re`'s words."""

    def __init__(self, pattern: str):
        self.pattern, self._left_s = pattern, ALL_S
        if len(pattern) > LONGEST:
            raise ValueError(f"{pattern[:40]!r}...: {len(pattern)} characters; a pattern has at most {LONGEST}")
        try:
            with warnings.catch_warnings(action="ignore"):  # of what a later Python may read otherwise
                re.compile(pattern)
            self._compiled = regex.compile(_OTHERWISE_IN_REGEX.sub(_as_in_re, pattern), regex.VERSION0)
        except (re.error, regex.error, RecursionError, OverflowError, MemoryError) as error:
            raise ValueError(f"{_shown(pattern)}: {str(error) or type(error).__name__}") from None

    def match(self, text: str) -> bool:
        """Whether the pattern matches at the start of `text`. Raises SlowPattern."""
        return self._run(self._compiled.match, text)

    def search(self, text: str) -> bool:
        """Whether the pattern matches anywhere in `text`. Raises SlowPattern."""
        return self._run(self._compiled.search, text)

    def _run(self, how: Callable[..., object], text: str) -> bool:
        begin = time.thread_time()
        try:
            return how(text, timeout=max(0.001, min(MATCH_S, self._left_s))) is not None
        except TimeoutError:
            raise SlowPattern(
                f"pattern {_shown(self.pattern)} was stopped after {min(MATCH_S, self._left_s):.1f} s on "
                f"{text[:80]!r}: it backtracks; write it without repeats inside repeats"
            ) from None
        finally:
            self._left_s -= time.thread_time() - begin


def _as_in_re(match: re.Match[str]) -> str:
    return match[1] or (r"\{" if match[2] else r"[\[:")


def _shown(pattern: str) -> str:
    return repr(pattern if len(pattern) <= 80 else f"{pattern[:77]}...")
