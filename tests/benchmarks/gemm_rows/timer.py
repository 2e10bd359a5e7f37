"""Runs in the engine's environment: the calls that the GEMM worker times, timed by torch.utils.benchmark instead.

    python timer.py WORKER_DIR SPEC.json

The spec is the worker's. One JSON object a line: layer, format, kernel, batch, and seconds a call as Timer's
blocked_autorange has them: `cold_s` (a copy of the weights after the other, as the worker does), `hot_s` (always the
same copy, as a benchmark does that nobody told of caches).
"""

import json
import os
import sys
from itertools import cycle


def main() -> None:
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    sys.path.insert(0, sys.argv[1])
    with open(sys.argv[2]) as file:
        spec = json.load(file)
    import torch
    import vllm._custom_ops  # noqa: F401 (loads the kernels)
    from gemm_clocks import CLOCKS
    from gemm_main import prepared
    from gemm_operands import random_matrix
    from torch.utils.benchmark import Timer

    clock = CLOCKS[spec["device"]]()
    with torch.inference_mode():
        for layer in spec["layers"]:
            for format in layer["formats"]:
                for product in prepared(spec, layer, format, clock, lambda *a, **k: None):
                    for batch in spec["batch_sizes"]:
                        x = random_matrix(format, batch, layer["k"], spec["device"], spec["seed"] + 1)
                        calls = [product.kernel.bind(state, x) for state in product.states]
                        found = {"layer": layer["name"], "batch": batch, **product.identity()}
                        for name, chosen in (("cold_s", calls), ("hot_s", calls[:1])):
                            timer = Timer("next(calls)()", globals={"calls": cycle(chosen)},
                                          num_threads=torch.get_num_threads())  # fmt: skip
                            found[name] = timer.blocked_autorange(min_run_time=0.3).median
                        print(json.dumps(found), file=out, flush=True)


if __name__ == "__main__":
    main()
