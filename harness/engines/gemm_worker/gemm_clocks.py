"""How a product is timed. All but the clock is the same on CPU and GPU.

A clock turns calls into a round: n calls in a row, seconds for each. They take the copies of the weights in turn, and
go on with the next copy in the next round: weights come from memory, not from a cache, as in serving, where a step
reads each of them once; activations stay where the kernel before has left them. CUDA: the n calls are one CUDA graph,
so that no launch is in the time (vLLM replays graphs too), between two events; what cannot be captured is called
directly between the events, and `clock` says so.
"""

import os
import time
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path

import torch

Call = Callable[[], torch.Tensor]
Round = Callable[[], float]  # seconds a call
READS, READ_BYTES = 5, 256 << 20
SQUARE = 2048


class CpuClock:
    """perf_counter around the calls, on as many threads as vLLM gives them."""

    device = "cpu"

    def __init__(self) -> None:
        torch.set_num_threads(engine_threads())

    def once(self, call: Call) -> float:
        begin = time.perf_counter()
        call()
        return time.perf_counter() - begin

    def round(self, calls: list[Call], n: int) -> tuple[Round, int, str]:
        """(a round, its calls, the clock's name)"""
        copies = cycle(calls)

        def timed() -> float:
            begin = time.perf_counter()
            for call in islice(copies, n):
                call()
            return (time.perf_counter() - begin) / n

        return timed, n, "perf_counter"

    def cache_bytes(self) -> int:
        """Of the last-level cache; 32 MiB where the kernel does not tell."""
        sizes = [path.read_text().strip() for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")]
        known = [int(size[:-1]) << {"K": 10, "M": 20}[size[-1]] for size in sizes if size[-1:] in ("K", "M")]
        return max(known, default=32 << 20)

    def facts(self) -> dict:
        return {"device_name": None, "threads": torch.get_num_threads(), "measured": self._measured()}

    def _measured(self) -> dict:
        """No data sheet: the memory's rate is that of reading a buffer, FP32's peak that of a square product."""
        buffer, square = torch.ones(max(READ_BYTES, 4 * self.cache_bytes()) // 4), torch.randn(SQUARE, SQUARE)
        reading = min(self.once(buffer.sum) for _ in range(READS))
        multiplying = min(self.once(lambda: square @ square) for _ in range(READS))
        return {"bandwidth": buffer.numel() * 4 / reading, "peak": {"fp32": 2 * SQUARE**3 / multiplying}}


def engine_threads() -> int:
    """One for each physical core of the first NUMA node but one, which vLLM keeps for its scheduler
    (OMPProcessManager of 0.32: `reserve_cpu_num`); OMP_NUM_THREADS where the engine's env sets it."""
    if asked := os.environ.get("OMP_NUM_THREADS"):
        return int(asked)
    from vllm.utils import cpu_resource_utils

    cpus = cpu_resource_utils.get_allowed_cpu_list()
    node = min(cpu.numa_node for cpu in cpus)
    cores = len({cpu.physical_core for cpu in cpus if cpu.numa_node == node})
    return max(1, cores - 1)


class CudaClock:
    """CUDA graphs between events. Not run on a GPU by us."""

    device = "cuda"

    def once(self, call: Call) -> float:
        torch.cuda.synchronize()
        return self._between(call)

    def round(self, calls: list[Call], n: int) -> tuple[Round, int, str]:
        times = -(-n // len(calls))  # a graph is the same at each replay, so it has every copy
        n = times * len(calls)

        def run() -> None:
            for call in calls * times:
                call()

        stream = torch.cuda.Stream()  # warm up beside the default stream, as capture asks
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for call in calls:
                call()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph):
                run()
        except RuntimeError:
            torch.cuda.synchronize()
            return (lambda: self._between(run) / n), n, "events"
        graph.replay()
        return (lambda: self._between(graph.replay) / n), n, "graph"

    def _between(self, call: Callable) -> float:
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        call()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) / 1e3

    def cache_bytes(self) -> int:
        return torch.cuda.get_device_properties(0).L2_cache_size

    def facts(self) -> dict:
        return {"device_name": torch.cuda.get_device_name(0), "cuda": torch.version.cuda}


CLOCKS = {"cpu": CpuClock, "cuda": CudaClock}
