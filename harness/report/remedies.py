"""What made a measurement invalid, and what to do about it, by the code of its flag."""

from collections.abc import Iterable

from harness.load.client.oddities import ODDITIES
from harness.records.flag import Flag

CLIENT = "set load.workers higher, or stop other programs on this machine; harness selftest shows what it can send"
CLOCK = "stop what sets the system's clock meanwhile (a time daemon that steps it; a virtual machine that was paused)"
STREAM = "check the server, and any proxy before it: its stream is not one answer to each request"

REMEDIES = {
    "client_lag": CLIENT,
    "rate_not_offered": CLIENT,
    "client_cpu": CLIENT,
    "clock_step": CLOCK,
    "rejected_stamps": CLOCK,
    "errors": "read the server's log for the failed requests; lower the rate, or raise the server's limits",
    "turns_dropped": "read the server's log for the failed requests; later turns of their conversations were not sent",
    "cell_timeout": "set load.cell_timeout_s higher, or load.max_requests lower",
    "token_mismatch": "set engine.dialect to the server's (vllm, sglang, llamacpp): it must generate as many tokens as "
    "asked, from prompts of the same tokenizer",
    "no_valid_probe": f"set load.capacity.max_rps lower, or {CLIENT}",
    "judge_at_chance": "use a judge that tells known pairs apart: judge.model or judge.base_url",
    "unparsed": "use a judge that answers in the form asked, or judge.prompt=few_shot for a base model",
    "thinking": "turn the model's reasoning off, or give it tokens to end it: suites.NAME.max_tokens",
    **dict.fromkeys(ODDITIES, STREAM),
}
OTHER = "see the flag's message"


def remedies(flags: Iterable[Flag]) -> list[str]:
    """Return what to do about flags, each once."""
    return list(dict.fromkeys(REMEDIES.get(flag.code, OTHER) for flag in flags))
