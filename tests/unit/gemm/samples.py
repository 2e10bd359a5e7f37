"""A made-up GEMM study whose every time is known: BF16 takes 10 us and 1 us a token, FP8 half of it, rounds vary."""

import numpy as np

from harness.gemm.formats import flops, moved_bytes

BATCHES = (1, 16, 1024)
LAYERS = {"qkv_proj": (6144, 4096), "down_proj": (4096, 14336)}
FORMATS = {"bf16": ("bf16", 1.0), "fp8": ("fp8", 0.5), "sparse_fp8": ("sparse24_fp8", 0.4)}
ROUNDS = 9
H100 = {
    "name": "NVIDIA H100 SXM",
    "source": "NVIDIA's data sheet",
    "bandwidth": 3.35e12,
    "peak": {"bf16": 989.4e12, "fp8": 1978.9e12, "sparse24_fp8": 3957.8e12},
}


def gemm_parts(wrong: str | None = None, roof: dict | None = H100, gpu: str | None = "NVIDIA H100 80GB HBM3"):
    """(manifest, records, rows by key). `wrong`: a variant whose answers are wrong at batch size 16."""
    rng = np.random.default_rng(5)
    noise = {(layer, batch): np.exp(rng.normal(0, 0.05, ROUNDS)) for layer in LAYERS for batch in BATCHES}
    cells, records, rows = [], [], {}
    for layer, (n, k) in LAYERS.items():
        for variant, (format, share) in FORMATS.items():
            cell = {"key": f"{variant}/gemm/{layer}", "kind": "gemm", "variant": variant, "layer": layer, "repeat": 0}
            cell["fingerprint"] = f"fp-{cell['key']}"
            rows[cell["key"]] = found = []
            for batch in BATCHES:
                base = 1e-6 * (10 + batch) * noise[layer, batch]  # a round is slow for all of them alike
                error = 0.5 if variant == wrong and batch == 16 else 1e-3
                common = {"batch": batch, "note": None, "calls": 9, "clock": "graph", "copies": 2, "bound": 0.01}
                common |= {"flops": flops(batch, n, k), "bytes": moved_bytes(format, batch, n, k)}
                engine = {"kernel": f"engine {format}", "role": "engine", "times_s": list(share * base), "error": error}
                found.append(common | engine | {"baseline_times_s": [] if variant == "bf16" else list(base)})
                for name, factor, off in (("slow", 1.2, 0.0), ("fast", 0.9, 0.0), ("wrong", 0.1, 1.0)):
                    vendor = {"kernel": f"vendor {name}", "role": "vendor", "error": off, "baseline_times_s": []}
                    found.append(common | vendor | {"times_s": list(factor * share * base)})
            flags = [{"code": "wrong_product", "level": "invalid", "message": "error 0.5"}] if variant == wrong else []
            records.append(_record(cell, n, k, format, roof, flags))
            cells.append(cell)
    return _manifest(cells, gpu), records, rows


def _record(cell: dict, n: int, k: int, format: str, roof: dict | None, flags: list) -> dict:
    result = {"layer": cell["layer"], "n": n, "k": k, "count": 32, "format": format, "roofline": roof}
    absent = [{"kernel": "vendor gone", "reason": "ImportError: no such kernel"}]
    kernels = [{"layer": "products", "kernel": f"engine {format}", "emulated": False}]
    return {
        "cell": cell,
        "fingerprint": cell["fingerprint"],
        "inputs": {},
        "result": result | {"absent": absent, "against": "bf16", "kernel": f"engine {format}"},
        "flags": flags,
        "engine": {"kind": "vllm", "version": "0.18.1", "command": ["python"], "kernels": kernels},
        "host": {},
        "started_at": "2026-11-20T10:00:00Z",
        "duration_s": 4.0,
        "harness": "0.1.0",
    }


def _manifest(cells: list, gpu: str | None) -> dict:
    scheme = {"weights": "bf16", "activations": "bf16", "sparsity": None}
    labels = {"bf16": "BF16", "fp8": "FP8", "sparse_fp8": "2:4 sparse FP8"}
    return {
        "name": "gemm",
        "description": "Made up.",
        "baseline": "bf16",
        "variants": {name: {"label": label, "scheme": scheme, "checkpoint": "m"} for name, label in labels.items()},
        "suites": [],
        "scenarios": {},
        "published": [
            {"variant": "fp8", "metric": "speedup/gemm_highest", "value": 1.9, "gpu": "H100|H200", "source": "2024"}
        ],
        "command": "python -m harness +sweep=gemm",
        "config": {"name": "gemm", "seed": 0},
        "cells": cells,
        "host": {"cpu": "x86", "gpus": [{"name": gpu, "compute_capability": 9.0}] if gpu else []},
        "harness": "0.1.0",
    }
