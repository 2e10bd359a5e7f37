"""What the owner of a server lets a client ask of it, and what was asked. Hosted APIs have limits and a price."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from harness.records.usage import Usage

CHARACTERS_PER_TOKEN = 4  # of text whose tokens nobody has counted


@dataclass(frozen=True)
class Limits:
    """null: no limit."""

    max_concurrency: int | None = None  # requests in flight
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None  # of prompts and answers together

    def seconds_for(self, tokens: int) -> float:
        """How long after this request the next one may be sent, at an even pace."""
        by_requests = 60 / self.requests_per_minute if self.requests_per_minute else 0.0
        by_tokens = 60 * tokens / self.tokens_per_minute if self.tokens_per_minute else 0.0
        return max(by_requests, by_tokens)


@dataclass
class Pace:
    """Lets requests pass one after the other, as far apart as the limits say."""

    limits: Limits
    _next_s: float = 0.0  # of the event loop's clock

    async def wait(self, body: Mapping[str, object]) -> None:
        now = asyncio.get_running_loop().time()
        turn = max(now, self._next_s)
        self._next_s = turn + self.limits.seconds_for(tokens_of(body))
        if turn > now:
            await asyncio.sleep(turn - now)


def tokens_of(body: Mapping[str, object]) -> int:
    """Tokens that a request may take: its prompt, counted or estimated, and the longest answer."""
    prompt, messages = body.get("prompt"), body.get("messages")
    if isinstance(prompt, list):
        asked = len(prompt)
    else:
        said = messages if isinstance(messages, list) else []
        texts = [str(prompt or ""), *(str(message.get("content") or "") for message in said)]
        asked = sum(map(len, texts)) // CHARACTERS_PER_TOKEN
    longest = body.get("max_tokens") or body.get("max_completion_tokens")
    return asked + (longest if isinstance(longest, int) else 0)


@dataclass
class Meter:
    """Requests that were answered and their tokens, by the server's own count."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    _told: tuple[int, int, int] = (0, 0, 0)

    @property
    def usage(self) -> Usage:
        return Usage(requests=self.requests, prompt_tokens=self.prompt_tokens, completion_tokens=self.completion_tokens)

    def add(self, prompt_tokens: int, completion_tokens: int) -> None:
        self.requests += 1
        self.prompt_tokens += prompt_tokens
        self.completion_tokens += completion_tokens

    def add_usage(self, usage: Mapping[str, int | None] | None) -> None:
        self.add((usage or {}).get("prompt_tokens") or 0, (usage or {}).get("completion_tokens") or 0)

    def lap(self) -> "Meter":
        """What was added since the last lap."""
        now = (self.requests, self.prompt_tokens, self.completion_tokens)
        before, self._told = self._told, now
        return Meter(now[0] - before[0], now[1] - before[1], now[2] - before[2])


@dataclass
class TokenPrice:
    """What a hosted API takes for its tokens; both null: it costs nothing that is known."""

    per_million_prompt_tokens: float | None = None  # null: unknown
    per_million_completion_tokens: float | None = None  # null: unknown
    currency: str = "USD"  # ISO 4217 code
    date: str | None = None  # of the price: 2026-11-20; shown beside every cost
    source: str | None = None  # where the price comes from

    @property
    def known(self) -> bool:
        return self.per_million_prompt_tokens is not None or self.per_million_completion_tokens is not None

    def cost(self, prompt_tokens: float, completion_tokens: float) -> float:
        prompt, completion = self.per_million_prompt_tokens or 0.0, self.per_million_completion_tokens or 0.0
        return (prompt_tokens * prompt + completion_tokens * completion) / 1e6
