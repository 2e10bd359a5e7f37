"""Rules of thumb for how fast requests are answered, by the model's size and what the device can do.

Constants of a CPU are fits to vLLM 0.32 with SmolLM2-135M on two cores, eager:

    AMX       TTFT 75, 102 and 184 ms for 64, 96 and 256 prompt tokens; 37 to 43 ms between tokens of one stream, 50 to
              56 ms with 12 (2026-11-30, load average 1 to 2)
    AVX-512   TTFT 98 ms for 256 prompt tokens, 17.6 ms between tokens of one stream, 120 ms with 32 (2026-11-21)
    AVX2      12 prompts of 264 tokens in 14 s in FP32, where AMX takes 3.2 s (machine/host.py)

A GPU's are its data sheet's peaks at a usual share of them.
"""

from dataclasses import dataclass, replace
from math import ceil

FLOPS_OF_CORE = {"amx_bf16": 260e9, "avx512_bf16": 200e9, "avx512f": 100e9, "avx2": 33e9}  # the first that it has
SLOWEST_CORE = 10e9
CPU_BANDWIDTH = 15e9  # bytes/s of two cores' reading of weights
CPU_STEP_S, CPU_SLOT_S = 0.022, 0.0015  # of a decoding step, and of each sequence in it: launches and sampling
GPU_PEAK, GPU_BANDWIDTH = 0.4, 0.6  # shares that serving reaches
GPU_STEP_S, GPU_SLOT_S = 0.004, 30e-6
EMULATED = 2.2  # FP8 on a CPU against BF16, measured with AMX; 2:4 FP8 likewise
INT4_ON_CPU = 1.5


@dataclass(frozen=True)
class Pace:
    """Seconds of a server's work. `slots`: sequences that it decodes at once."""

    suite_s: float  # of every suite, beside its requests
    cell_s: float  # of every load cell, beside its requests
    prefill_s: float  # of a token of a prompt
    step_s: float  # of a decoding step
    slot_s: float  # and of each sequence in it
    judgement_s: float  # of one call of a judge at an endpoint
    slots: int = 32

    def request_s(self, prompt: float, output: float) -> float:
        """Return how long one request takes alone."""
        return prompt * self.prefill_s + output * (self.step_s + self.slot_s)

    def work_s(self, prompt: float, output: float) -> float:
        """Return what a request adds to a server that is busy."""
        return prompt * self.prefill_s + output * (self.step_s / self.slots + self.slot_s)

    def closed_s(self, requests: float, prompt: float, output: float, concurrency: int) -> float:
        """Return how long requests take of which so many are always in flight."""
        streams = max(1, min(concurrency, ceil(requests), self.slots))
        steps = ceil(requests / streams) * output
        return requests * prompt * self.prefill_s + steps * (self.step_s + streams * self.slot_s)

    def slower(self, factor: float) -> "Pace":
        return replace(
            self,
            prefill_s=self.prefill_s * factor,
            step_s=self.step_s * factor,
            slot_s=self.slot_s * factor,
        )


@dataclass(frozen=True)
class Answer:
    """How fast a server answered one request alone."""

    prompt_tokens: int
    ttft_s: float
    gap_s: float  # mean time between tokens


def answered_pace(answer: Answer) -> Pace:
    """Return the pace of an unknown server: what one request shows, and a usual GPU's where many are served."""
    return Pace(3.0, 1.0, answer.ttft_s / max(1, answer.prompt_tokens), answer.gap_s, 0.0, 0.2, slots=64)


SIMULATED = Pace(suite_s=2.0, cell_s=0.3, prefill_s=1e-5, step_s=0.01, slot_s=0.0, judgement_s=0.05)


def cpu_pace(weights: float, cores: int, features: frozenset[str]) -> Pace:
    """`weights` that a token is multiplied with; `features`: flags of /proc/cpuinfo."""
    core = next((flops for flag, flops in FLOPS_OF_CORE.items() if flag in features), SLOWEST_CORE)
    prefill_s = 2 * weights / (core * cores)
    width = 2 if core > FLOPS_OF_CORE["avx2"] else 4  # bytes of a weight: float32 without AVX-512
    step_s = CPU_STEP_S + width * weights / (CPU_BANDWIDTH * min(max(cores, 2), 16) / 2)
    return Pace(3.0, 0.5, prefill_s, step_s, CPU_SLOT_S + prefill_s, 0.5)


def gpu_pace(weights: float, peak: float, bandwidth: float, gpus: int = 1, bits: float = 16) -> Pace:
    """`peak`: BF16 FLOP/s of one GPU; `bandwidth`: its bytes/s; `bits` of a weight."""
    prefill_s = 2 * weights / (GPU_PEAK * peak * gpus)
    step_s = GPU_STEP_S + weights * bits / 8 / (GPU_BANDWIDTH * bandwidth * gpus)
    return Pace(3.0, 1.0, prefill_s, step_s, GPU_SLOT_S + prefill_s, 0.2, slots=256)
