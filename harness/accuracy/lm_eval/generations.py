"""Generated answers as lm-eval asks for them: its stop strings, and an answer cut where one of them begins."""

from typing import Any

from harness.accuracy.completions import Completion, Reply, completion
from harness.errors import CellError


def stop_strings(gen_kwargs: dict[str, Any], eos: str | None) -> tuple[str, ...]:
    if gen_kwargs.get("do_sample") and gen_kwargs.get("temperature", 1.0) > 0:
        raise CellError("this task samples its answers; suites of kind lm_eval are greedy, so that variants compare")
    until = gen_kwargs.get("until") or []
    until = [until] if isinstance(until, str) else list(until)
    return tuple(dict.fromkeys(stop for stop in [*until, eos] if stop))


def generation(reply: Reply, stops: tuple[str, ...]) -> Completion:
    """Cut here too: servers differ in what they leave of a stop string."""
    said = completion(reply)
    text, reason = said.text, said.finish_reason
    cut = min((at for stop in stops if (at := text.find(stop)) >= 0), default=None)
    if cut is not None:
        text, reason = text[:cut], "stop"
    return Completion(text, reason, said.completion_tokens)
