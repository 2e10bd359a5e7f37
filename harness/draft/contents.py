"""What a draft measures: suites, scenarios and load that suit the model's size and where it is served. Pure.

Suites have to be far from chance for the baseline, and large enough: a 1 % margin takes thousands of items. Models
below SMALL answer MMLU at chance (25 %) and GSM8K at a few percent.
"""

from dataclasses import dataclass
from math import ceil, log2

from harness.draft.engines import ChosenEngine

SMALL = 1_000_000_000  # weights
SCENARIOS_GPU = {"chat_512_256": 768, "rag_1024_128": 1152, "code_completion_256_1024": 1280, "chat_96_16": 112}
SCENARIOS_CPU = {"chat_96_16": 112, "rag_256_8": 264}  # prompt and generated tokens
PERPLEXITY_WINDOW = 2048
CPU_ITEMS, CPU_WINDOWS = 100, 8  # of a suite, of perplexity: a first look in an hour or so
USABLE_MEMORY = 0.8  # of a GPU: the rest is activations and a KV cache worth measuring

LOAD_GPU = """\
load:
  repeats: 3  # runs of every load point: without repeats there is no interval of a speed
  single_stream_requests: 16
  throughput_requests: 256
  rates_rps: [1, 4]  # the ladder of request rates
  capacity: {probes: 8}  # searches the highest rate that keeps each scenario's SLO
"""
LOAD_CPU = """\
load:
  repeats: 2  # runs of every load point: without repeats there is no interval of a speed
  single_stream_requests: 3
  throughput_requests: 12
  rates_rps: [1, 2]  # the ladder of request rates
  duration_s: 8
  min_requests: 5
  warmup_requests: 2
"""


@dataclass(frozen=True)
class Contents:
    suites: tuple[str, ...]
    why: str  # these suites
    items: dict[str, int]  # of a suite, where all of them would take too long
    window: int | None  # of perplexity, in place of 2048
    scenarios: tuple[str, ...]
    load: str


def contents(parameters: int, context: int | None, engine: ChosenEngine) -> Contents:
    """`parameters`: of the dense model; `context`: tokens that a request may take."""
    on_cpu = engine.device == "cpu"
    suites, why = _suites(parameters, engine.kind)
    items = {suite: CPU_WINDOWS if suite == "perplexity" else CPU_ITEMS for suite in suites} if on_cpu else {}
    known = SCENARIOS_CPU if on_cpu else SCENARIOS_GPU
    fitting = tuple(name for name, tokens in known.items() if context is None or tokens <= context)
    scenarios = fitting[: 2 if on_cpu else 3]
    longest = (context or engine.max_model_len or PERPLEXITY_WINDOW + 1) - 1
    window = 512 if on_cpu and longest >= 512 else longest
    asked = window if "perplexity" in suites and window < PERPLEXITY_WINDOW else None
    return Contents(suites, why, items, asked, scenarios, LOAD_CPU if on_cpu else LOAD_GPU)


def _suites(parameters: int, kind: str) -> tuple[tuple[str, ...], str]:
    size = f"{parameters / 1e9:.2g} billion weights"
    if kind == "llamacpp":
        return ("mmlu", "gsm8k"), "what llama.cpp's answers suffice for"
    if parameters < SMALL:
        return ("hellaswag", "arc_challenge", "perplexity"), f"{size}: at chance on mmlu, near zero on gsm8k"
    return ("mmlu", "gsm8k", "arc_challenge", "perplexity"), f"{size}; humaneval runs generated code in a sandbox"


def tensor_parallel(size_bytes: int, memory_gib: float | None) -> int:
    """GPUs that the largest checkpoint takes: a power of two, so that it divides attention heads."""
    if not memory_gib:
        return 1
    return 2 ** max(0, ceil(log2(size_bytes / (USABLE_MEMORY * memory_gib * 2**30))))
