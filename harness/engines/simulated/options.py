"""The server's command line, and the service process that it asks for."""

import argparse

from harness.engines.simulated.batching import ContinuousBatching
from harness.engines.simulated.pacing import BatchedSchedule, FixedSchedule, Pace, Replicas
from harness.engines.simulated.roofline import Roofline
from harness.engines.simulated.schemes import EFFICIENCY, Scheme
from harness.engines.simulated.shapes import SHAPES
from harness.machine.data_sheets import HARDWARE


def arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m harness.engines.simulated.server",
        description="An OpenAI-compatible streaming server whose service process is known.",
    )
    parser.add_argument("--port", type=int, required=True, help="0: a free one, which is printed")
    parser.add_argument("--model", default="simulated", help="the name it serves")
    parser.add_argument("--max-model-len", type=int, help="default: of the shape")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sent-log", help="a file for one JSON line a finished request")
    parser.add_argument("--slowdown", type=float, default=1.0, help="factor on every duration")
    fixed = parser.add_argument_group("a fixed schedule: token k at arrival + TTFT + k * gap, whatever the load")
    fixed.add_argument("--gap-ms", type=float)
    fixed.add_argument("--ttft-ms", type=float, default=0.0)
    batched = parser.add_argument_group("a roofline model with continuous batching")
    batched.add_argument("--hardware", choices=HARDWARE, default="h100")
    batched.add_argument("--shape", choices=SHAPES, default="llama-3.1-8b")
    batched.add_argument("--weight-bits", type=float, default=16.0, help="that a weight takes in memory")
    batched.add_argument("--compute", choices=EFFICIENCY, default="bf16", help="what the products are computed in")
    batched.add_argument("--sparse", action="store_true", help="2:4 sparse tensor cores")
    batched.add_argument("--kv-bits", type=float, default=16.0, help="that a key or value takes in memory")
    batched.add_argument("--tensor-parallel", type=int, default=1, help="GPUs that share each layer")
    batched.add_argument("--replicas", type=int, default=1, help="independent engines behind the address")
    batched.add_argument("--max-num-seqs", type=int, default=256)
    batched.add_argument("--max-num-batched-tokens", type=int, default=8192)
    batched.add_argument("--chunked-prefill", action=argparse.BooleanOptionalAction, default=True)
    batched.add_argument("--jitter", type=float, default=0.02, help="standard deviation of log(step time)")
    return parser.parse_args(argv)


def pace(options: argparse.Namespace) -> Pace:
    if options.gap_ms is not None:
        return FixedSchedule(options.slowdown * options.ttft_ms / 1e3, options.slowdown * options.gap_ms / 1e3)
    scheme = Scheme("simulated", options.weight_bits, options.compute, options.sparse)
    hardware, shape = HARDWARE[options.hardware], SHAPES[options.shape]
    model = Roofline(hardware, shape, scheme, options.tensor_parallel, options.kv_bits)
    seeds = range(options.seed, options.seed + options.replicas)
    engines = [BatchedSchedule(_batching(model, options, seed)) for seed in seeds]
    return engines[0] if len(engines) == 1 else Replicas(engines)


def _batching(model: Roofline, options: argparse.Namespace, seed: int) -> ContinuousBatching:
    return ContinuousBatching(
        lambda batch: options.slowdown * model.step_s(batch),
        max_num_seqs=options.max_num_seqs,
        max_num_batched_tokens=options.max_num_batched_tokens,
        kv_cache_tokens=model.kv_cache_tokens,
        chunked_prefill=options.chunked_prefill,
        jitter=options.jitter,
        seed=seed,
    )
