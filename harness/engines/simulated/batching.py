"""Continuous batching with chunked prefill, as vLLM V1 schedules it (v1/core/sched/scheduler.py). Pure: no clock.

A step has a budget of max_num_batched_tokens. Sequences that decode take one token each; sequences that are still
reading their prompt take what is left, in their order of arrival; then waiting ones are admitted while there is a
budget, a free place (max_num_seqs) and room in the KV cache. Without chunked prefill a prompt is read in one step:
it waits, and those behind it, until what the decoding ones leave of the budget holds all of it. At the end of a step
every decoding sequence, and every one whose prompt is now read, emits one token. A sequence is admitted only when all
the tokens it will ever hold fit, so nothing is preempted (vLLM admits on less and preempts).

Once it decodes, a sequence emits at every step until it is done. So a step costs time only for the sequences that come
and go, not for those that stay, and `simulate` runs thousands of times faster than the engine that it simulates.
"""

import random
from collections import deque
from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple


class Batch(NamedTuple):
    """What one step computes. Attention pairs are (query token, token it attends to)."""

    tokens: int  # through the linear layers: one a decoding sequence, and the prefill chunks
    outputs: int  # tokens that come out, so rows of the language-model head
    kv_tokens: int  # tokens whose keys and values are read
    attention_pairs: int


StepTime = Callable[[Batch], float]  # seconds


class Sequence:
    """One request. `output_tokens` is how many it will emit."""

    __slots__ = ("arrival_s", "first_step", "output_tokens", "prefilled", "prompt_tokens")

    def __init__(self, arrival_s: float, prompt_tokens: int, output_tokens: int):
        if prompt_tokens < 1 or output_tokens < 1:
            raise ValueError(f"a sequence has at least one token each way, got {prompt_tokens} and {output_tokens}")
        self.arrival_s, self.prompt_tokens, self.output_tokens = arrival_s, prompt_tokens, output_tokens
        self.prefilled = 0
        self.first_step = -1  # the step that emits its first token

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.output_tokens


class Step(NamedTuple):
    duration_s: float
    emitted: Collection[Sequence]  # one token each at the step's end; a view, until `retire`
    finished: Collection[Sequence]  # those of them for which it was the last
    batch: Batch


class ContinuousBatching:
    """`jitter`: the standard deviation of the logarithm of a step's duration; its mean stays what `step_s` says."""

    def __init__(
        self,
        step_s: StepTime,
        *,
        max_num_seqs: int = 256,
        max_num_batched_tokens: int = 8192,
        kv_cache_tokens: int | None = None,
        chunked_prefill: bool = True,
        jitter: float = 0.0,
        seed: int = 0,
    ):
        if not 1 <= max_num_seqs <= max_num_batched_tokens:
            raise ValueError(
                f"max_num_seqs={max_num_seqs} must be at least 1, and at most max_num_batched_tokens="
                f"{max_num_batched_tokens}: every sequence that decodes takes one token of each step"
            )
        self._step_s, self._jitter, self._random = step_s, jitter, random.Random(seed)
        self._max_num_seqs, self._max_tokens = max_num_seqs, max_num_batched_tokens
        self.kv_cache_tokens, self._chunked = kv_cache_tokens, chunked_prefill
        self.kv_reserved = 0  # tokens of the sequences that were admitted, at their full length
        self.waiting: deque[Sequence] = deque()
        self.prefilling: list[Sequence] = []
        self.decoding: dict[Sequence, None] = {}
        self.steps = 0
        self._context = 0  # tokens that the decoding sequences hold together
        self._ends: dict[int, list[Sequence]] = {}  # by the step that emits their last token
        self._finished: Collection[Sequence] = ()

    @property
    def running(self) -> int:
        return len(self.prefilling) + len(self.decoding)

    def has_work(self) -> bool:
        return bool(self.waiting or self.running)

    def add(self, sequence: Sequence) -> None:
        """Sequences come in order of arrival. Raises ValueError for one that can never be admitted."""
        if self.kv_cache_tokens is not None and sequence.total_tokens > self.kv_cache_tokens:
            raise ValueError(f"{sequence.total_tokens} tokens; the KV cache holds {self.kv_cache_tokens}")
        if not self._chunked and sequence.prompt_tokens > self._max_tokens:
            raise ValueError(f"{sequence.prompt_tokens} prompt tokens; a step without chunks takes {self._max_tokens}")
        self.waiting.append(sequence)

    def cancel(self, sequence: Sequence) -> None:
        """Takes out a sequence that has not finished; its place is free at the next step."""
        if sequence in self._finished:
            return  # it leaves by itself
        if sequence in self.decoding:
            self._leave(sequence)
            self._ends[sequence.first_step + sequence.output_tokens - 1].remove(sequence)
        elif sequence in self.prefilling:
            self.prefilling.remove(sequence)
            self.kv_reserved -= sequence.total_tokens
        elif sequence in self.waiting:
            self.waiting.remove(sequence)

    def retire(self) -> None:
        """Lets go of the sequences that the last step finished. `step` begins with it."""
        for sequence in self._finished:
            self._leave(sequence)
        self._finished = ()

    def step(self, now_s: float) -> Step:
        """The step that starts now, with the sequences that have arrived. There must be one."""
        self.retire()
        step = self.steps
        decoding = len(self.decoding)
        context = self._context
        chunks = self._prefill(self._max_tokens - decoding, now_s)
        if not decoding and not chunks:
            raise ValueError(f"no sequence has arrived by {now_s}")
        self.steps += 1
        prefill_tokens = kv_tokens = pairs = started = 0
        for sequence, tokens in chunks:
            before = sequence.prefilled
            sequence.prefilled += tokens
            prefill_tokens += tokens
            kv_tokens += sequence.prefilled
            pairs += tokens * before + tokens * (tokens + 1) // 2
            if sequence.prefilled == sequence.prompt_tokens:
                started += 1
                self._start(sequence, step)
        batch = Batch(decoding + prefill_tokens, decoding + started, context + kv_tokens, context + pairs)
        self._context += decoding  # each token that a sequence decodes is one more that it holds
        self._finished = self._ends.pop(step, ())
        duration_s = self._step_s(batch)
        if self._jitter:
            duration_s *= self._random.lognormvariate(-self._jitter * self._jitter / 2, self._jitter)
        return Step(duration_s, self.decoding.keys(), self._finished, batch)

    def _prefill(self, budget: int, now_s: float) -> list[tuple[Sequence, int]]:
        """(sequence, prompt tokens that it computes in this step), the first come first."""
        chunks = []
        for sequence in self.prefilling:
            if not budget:
                break
            tokens = min(budget, sequence.prompt_tokens - sequence.prefilled)
            chunks.append((sequence, tokens))
            budget -= tokens
        while budget and self.waiting and self._admits(self.waiting[0], now_s):
            if not self._chunked and self.waiting[0].prompt_tokens > budget:
                break
            sequence = self.waiting.popleft()
            self.prefilling.append(sequence)
            self.kv_reserved += sequence.total_tokens
            tokens = min(budget, sequence.prompt_tokens)
            chunks.append((sequence, tokens))
            budget -= tokens
        return chunks

    def _admits(self, sequence: Sequence, now_s: float) -> bool:
        fits = self.kv_cache_tokens is None or self.kv_reserved + sequence.total_tokens <= self.kv_cache_tokens
        return fits and sequence.arrival_s <= now_s and len(self.prefilling) + len(self.decoding) < self._max_num_seqs

    def _start(self, sequence: Sequence, step: int) -> None:
        self.prefilling.remove(sequence)
        self.decoding[sequence] = None
        sequence.first_step = step
        self._context += sequence.prompt_tokens + 1  # when the next step begins, with the token of this one
        self._ends.setdefault(step + sequence.output_tokens - 1, []).append(sequence)

    def _leave(self, sequence: Sequence) -> None:
        del self.decoding[sequence]
        self.kv_reserved -= sequence.total_tokens
        self._context -= sequence.prompt_tokens + self.steps - sequence.first_step


def simulate(batching: ContinuousBatching, arrivals: Iterable[tuple[float, int, int]]) -> list[list[float]]:
    """Token times in seconds of each request (arrival_s, prompt_tokens, output_tokens), in the order given.

    Virtual time: the same steps at the same moments as an engine that adds no delay, and no waiting.
    """
    sequences = [Sequence(*arrival) for arrival in arrivals]
    queue = deque(sorted(sequences, key=lambda sequence: sequence.arrival_s))
    for sequence in queue:
        batching.add(sequence)
    ends: list[float] = []  # of every step
    first = batching.steps
    now = 0.0
    while batching.has_work():
        if not batching.running:
            now = max(now, batching.waiting[0].arrival_s)
        now += batching.step(now).duration_s
        batching.retire()
        ends.append(now)
    starts = [sequence.first_step - first for sequence in sequences]
    return [ends[start : start + s.output_tokens] for start, s in zip(starts, sequences, strict=True)]
