"""Every flag of a cell: what it means for the numbers, and what to do about it."""

from collections.abc import Iterable
from dataclasses import dataclass

from harness.records.flag import Flag

MORE_WORKERS = "set load.workers higher, or stop other programs here; `harness selftest` shows what it can send"
STREAM = "check the server, and any proxy before it: its stream is not one answer to each request"
CLOCK = "stop what sets the system's clock (a time daemon that steps it, a virtual machine that was paused)"
SERVER_LOG = "read the server's log; if it was overloaded, lower the rate or raise the server's limits"
ENGINE = "use an engine and a GPU that have the kernel (`needs` of the variant); see conf/engine/"
MORE_TOKENS = "set suites.NAME.max_tokens higher"


@dataclass(frozen=True)
class Explained:
    """A flag in words."""

    meaning: str
    remedy: str = ""  # empty: nothing is wrong


FLAGS = {
    # The load client
    "client_lag": Explained("the client sent late: TTFT contains its delay", MORE_WORKERS),
    "client_stall": Explained("the client paused once: the TTFT of a few requests contains it", MORE_WORKERS),
    "client_cpu": Explained("a client process used nearly a whole core: it may have measured itself", MORE_WORKERS),
    "rate_not_offered": Explained("the client sent at a lower rate than the load point's", MORE_WORKERS),
    "slow_connections": Explained(
        "opening connections took a large part of TTFT", "check the network and the server's listen queue"
    ),
    "user_timestamps": Explained(
        "token times were taken in user space, not by the kernel", "measure without TLS, on Linux, to get kernel stamps"
    ),
    "event_loop_lag": Explained("user-space token times are late by a part of the ITL", MORE_WORKERS),
    "clock_step": Explained("the system's clock was set during the measurement", CLOCK),
    "rejected_stamps": Explained("kernel time stamps were impossible and were replaced by the time of reading", CLOCK),
    # Where it was measured
    "neighbours": Explained(
        "other sessions ran on the same machine: they may have changed how fast it was",
        "set executor.colocate=auto, which goes by the machine's interference test, or none, which runs load alone",
    ),
    "foreign_cpu": Explained(
        "processes that are not the sweep's took CPU time on the session's cores: they may have slowed it down",
        "measure on a machine that nobody else uses",
    ),
    # The load as the server handled it
    "measured_again": Explained("an earlier try of this cell was invalid; it is kept beside this one"),
    "errors": Explained("requests failed; only completed ones are in the figures", SERVER_LOG),
    "cell_timeout": Explained(
        "the cell ran out of time: its slowest requests are missing",
        "set load.cell_timeout_s higher, or load.max_requests lower",
    ),
    "turns_dropped": Explained("conversations broke off after a failed request", SERVER_LOG),
    "saturated": Explained("the server falls behind at this rate: latencies grow with the length of the run"),
    "few_samples": Explained(
        "p99 of TTFT and E2E is over fewer than 100 requests: close to their maximum", "set load.min_requests higher"
    ),
    "no_usage": Explained(
        "the server reports no token counts: tokens are counted by events", "use a server that sends `usage`"
    ),
    "token_mismatch": Explained(
        "prompts or answers have other lengths than asked: another workload",
        "set engine.dialect to the server's (vllm, sglang, llamacpp), and model to the one whose tokenizer it uses",
    ),
    "tokenizer_differs": Explained(
        "the sweep's tokenizer counts other prompt tokens than the server, whose counts are reported",
        "set model to the one that is served",
    ),
    "prompts_repeat": Explained(
        "a load point has more requests than the file has prompts: those sent again may be in the prefix cache",
        "give a longer file, or lower load.max_requests",
    ),
    "merged_reads": Explained(
        "token events arrived together in one read: low percentiles of ITL are too low",
        "check for a proxy that buffers; run the client on the server's machine",
    ),
    "merged_tokens": Explained("the server sends several tokens in one event: ITL is between events, TPOT per token"),
    "prefix_cache_hits": Explained(
        "prompts were found in the prefix cache beyond what the scenario shares: work that was not done",
        "restart the server before the sweep, or set load repeats apart",
    ),
    "preemptions": Explained("requests were preempted for lack of KV cache", "lower max_num_seqs, or use more GPUs"),
    "metrics_dropped": Explained("values of the server's /metrics were no numbers and are left out"),
    "server_disagrees": Explained(
        "the server counts other tokens than the client received", "see that nobody else uses the server"
    ),
    "extra_tokens": Explained("the server sent more token events than it counts tokens", STREAM),
    "repeated_tokens": Explained("the server sent the same token event twice", STREAM),
    "late_tokens": Explained("tokens came after the end of an answer", STREAM),
    "mixed_answers": Explained("token events of several answers came in one stream", STREAM),
    "excess_bytes": Explained("bytes came beyond the end of a response", STREAM),
    "impossible_usage": Explained("the reported usage is far above what was asked and is not counted", STREAM),
    "second_answer": Explained("a second response came in one read with the first", STREAM),
    "no_valid_probe": Explained(
        "the client could produce the load of no probe", f"set load.capacity.max_rps lower, or {MORE_WORKERS}"
    ),
    "capacity_unresolved": Explained(
        "the search ended before the capacity was known to the asked precision",
        "set load.capacity.probes or load.capacity.requests higher",
    ),
    "search_resumed": Explained("some probes of the search are of an earlier run that was interrupted"),
    # The engine and the hardware
    "simulated": Explained("the simulated engine answered: no model was measured"),
    "emulated_kernel": Explained("the scheme is emulated here: answers are the scheme's, speeds are not", ENGINE),
    "fp32_compute": Explained("16-bit values are computed in FP32: the speed is that of FP32", ENGINE),
    "no_sparse_kernel": Explained("2:4 weights ran without 2:4 kernels: the zeros were multiplied", ENGINE),
    "kernel_unknown": Explained("the engine's log names no scheme or kernel", "use vLLM 0.15 or later"),
    "activations_unquantized": Explained("activations were not quantized, though the scheme quantizes them", ENGINE),
    "activations_differ": Explained("activations had another format than the scheme's", ENGINE),
    "kv_cache_unquantized": Explained("the KV cache was not quantized, though the variant quantizes it", ENGINE),
    "engine_differs": Explained(
        "the variants were not all served by one engine version", "measure all with one `engine`, or say why not"
    ),
    "gpu_throttled": Explained("the GPU was slowed down by heat or a power brake", "check cooling and power"),
    "gpu_power_capped": Explained("clocks were held at the GPU's power limit", "see nvidia-smi -q -d POWER"),
    "gpu_shared": Explained("another process used the GPU", "stop it and measure again"),
    "wrong_product": Explained("a kernel's product is wrong by more than rounding", "report it to the engine"),
    # Accuracy
    "partial": Explained("a subset of the suite's items was asked", "set suites.NAME.items=null for all"),
    "truncated": Explained("answers were cut at the token limit", MORE_TOKENS),
    "unparsed": Explained(
        "no answer could be extracted", "look at the answers in the store; for a judge, set judge.prompt=few_shot"
    ),
    "unreadable": Explained("the server's answers could not be read and count as empty", SERVER_LOG),
    "content_filter": Explained("the server withheld or cut answers", "ask the server's owner to turn the filter off"),
    "prompt_cut": Explained(
        "prompts lost their beginning: longer than the context", "set engine.max_model_len higher, or fewer fewshot"
    ),
    "thinking": Explained(
        "answers contain reasoning blocks", f"turn the model's reasoning off in its chat template, or {MORE_TOKENS}"
    ),
    "unsandboxed": Explained("model-written code ran without isolation", "install bubblewrap"),
    "judge_at_chance": Explained(
        "the judge cannot tell known pairs apart: no win rate", "use a stronger judge: judge.model or judge.base_url"
    ),
    "judge_weak_kind": Explained("the judge cannot tell some kinds of known pairs apart", "use a stronger judge"),
    "cut_for_judge": Explained("answers were truncated for the judge", "use a judge with a larger context"),
    "not_compared": Explained("the variant's items could not be paired with the baseline's", "measure both again"),
}


def remedies(flags: Iterable[Flag]) -> list[str]:
    """Return what to do about flags, each remedy once."""
    found = (FLAGS[flag.code].remedy if flag.code in FLAGS else "see the flag's message" for flag in flags)
    return list(dict.fromkeys(remedy for remedy in found if remedy))
