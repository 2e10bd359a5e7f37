"""The clients that the benchmark compares: a command line each, and how to read what it reports of every token.

All of them get the same job: text completions of exactly `tokens` tokens in a closed loop with `streams` in flight,
against a server that gives every request an id. A client is one module with one class and one entry in CLIENTS.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from harness.engines.environment import EnvironmentConfig

CLIENTS = {
    "harness": "loadgen_peers.ours:Ours",
    "vllm": "loadgen_peers.vllm:VllmBench",
    "aiperf": "loadgen_peers.aiperf:AIPerf",
    "guidellm": "loadgen_peers.guidellm:GuideLLM",
}
PROMPT_TOKENS = 16  # short: what is compared is the reading of tokens, not the making of prompts


@dataclass(frozen=True)
class Job:
    base_url: str
    model: str
    tokenizer: Path  # a checkpoint directory
    streams: int
    requests: int
    tokens: int  # of each answer
    folder: Path  # the client's own, empty


@dataclass(frozen=True)
class Reported:
    """What a client's export says of one request: when some of its tokens arrived."""

    request_id: str  # as the server's log has it
    token: np.ndarray  # which tokens, ascending from 0; not every client keeps all of them
    at_ns: np.ndarray  # float64, CLOCK_MONOTONIC


class Client(Protocol):
    title: str  # with the version
    environment: EnvironmentConfig | None  # None: the harness's own

    def command(self, python: Path, job: Job) -> list[str]:
        """`python` is the interpreter of the environment."""

    def reported(self, job: Job) -> Iterator[Reported]:
        """Of the completed requests, after the command has ended well."""


def client(name: str) -> Client:
    module, _, attribute = CLIENTS[name].partition(":")
    return getattr(import_module(module), attribute)()


def from_wall_ns(wall_ns: Any) -> Any:
    """CLOCK_REALTIME to CLOCK_MONOTONIC, by the offset of now: right to a few us where the clock was not set since."""
    return wall_ns - (time.time_ns() - time.monotonic_ns())
