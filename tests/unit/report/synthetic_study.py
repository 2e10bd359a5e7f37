"""A made-up but realistic study: 4 variants x 4 suites x 3 scenarios x (single stream, throughput, 3 rates).

The latencies follow a queue: they rise as the rate nears what the variant can serve, and the highest rate of the
slowest variant is not reached. Everything comes from one seed.
"""

from functools import cache
from typing import Any

import numpy as np

from harness.analysis import analyse
from harness.analysis.findings import Findings
from tests.unit.report import synthetic_records
from tests.unit.report.synthetic_records import (
    BYTES,
    CAPACITY,
    DEPLOYMENTS,
    PER_TOKEN_J,
    RATES,
    VARIANTS,
    accuracy,
    answers,
    judged,
    load,
    manifest_of,
    record_of,
)

SCENARIOS = {"chat_512_256": (512, 256), "rag_1024_128": (1024, 128), "code_completion_256_1024": (256, 1024)}
REPORT = {
    "price": {"per_gpu_hour": 2.5, "currency": "USD", "date": "2026-11-01", "source": "list price, on demand"},
    "attribution": [
        {"variant": "bf16", "adds": None},
        {"variant": "fp8", "adds": "quantization"},
        {"variant": "sparse_fp8", "adds": "sparsity"},
    ],
    "cutoffs_ms": {},
}


def parts(
    variants=VARIANTS, rates=RATES, repeats: int = 1, scenarios=SCENARIOS
) -> tuple[dict[str, Any], list[dict[str, Any]], dict[str, list[dict]]]:
    """(manifest, records, rows by cell key): change them, then `build(*parts)`."""
    rng = np.random.default_rng(7)
    manifest = manifest_of(variants, scenarios)
    records, rows = [], {}

    def add(cell: dict, result: dict, cell_rows: list[dict], flags=()) -> None:
        cell["fingerprint"] = f"fp-{cell['key']}"
        manifest["cells"].append(cell)
        rows[cell["key"]] = cell_rows
        records.append(record_of(cell, result, list(flags)))

    for name in variants:
        for suite in synthetic_records.SUITES:
            cell = {"key": f"accuracy-{name}-{suite}", "kind": "accuracy", "variant": name, "suite": suite, "repeat": 0}
            add(cell, *accuracy(suite, name))
        cell = {"key": f"accuracy-{name}-alpaca", "kind": "accuracy", "variant": name, "suite": "alpaca_eval"}
        add(cell | {"repeat": 0}, *answers())
        if name != "bf16":
            cell = {"key": f"judge-{name}-alpaca", "kind": "judge", "variant": name, "suite": "alpaca_eval"}
            add(cell | {"repeat": 0}, *judged(name, rng))
        for scenario, (prompt, output) in scenarios.items():
            points = [("single_stream", None, 16), ("throughput", None, 128), *(("server", r, 64) for r in rates)]
            for profile, rate, requests in points:
                for repeat in range(repeats):
                    cell = {
                        "key": f"load-{name}-{scenario}-{profile}-{rate}-{repeat}",
                        "kind": "load",
                        "variant": name,
                        "scenario": scenario,
                        "point": {"profile": profile, "rate_rps": rate, "requests": requests},
                        "repeat": repeat,
                    }
                    add(cell, *load(name, profile, rate, prompt, output, rng))
    return manifest, records, rows


def build(manifest: dict, records: list[dict], rows: dict[str, list[dict]], failures: list[dict] | None = None):
    from harness.analysis import build_study
    from harness.records.failed_cell import FailedCell
    from harness.records.manifest import Manifest
    from harness.records.record import Record

    return build_study(
        Manifest.from_json(manifest),
        list(map(Record.from_json, records)),
        lambda record: rows[record.cell.key],
        list(map(FailedCell.from_json, failures or [])),
    )


def synthetic_study(**options):
    return build(*parts(**options))


@cache
def synthetic_findings() -> Findings:
    """The findings of `synthetic_study()`, computed once in a process."""
    return analyse(synthetic_study())


@cache
def rich_findings() -> Findings:
    """The findings of `build(*rich_parts())`, computed once in a process."""
    return analyse(build(*rich_parts()))


def rich_parts():
    """Repeats, deployments on two GPUs, a price, capacity searches in one scenario, native kernels."""
    variants = VARIANTS | DEPLOYMENTS
    manifest, records, rows = parts(variants, rates=[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0], repeats=3)
    manifest["report"] = REPORT
    rng = np.random.default_rng(11)
    for name in variants:
        for repeat in range(3):
            cell = {
                "key": f"load-{name}-chat_512_256-capacity-{repeat}",
                "kind": "load",
                "variant": name,
                "scenario": "chat_512_256",
                "point": {"profile": "capacity", "rate_rps": None, "requests": 200},
                "repeat": repeat,
            }
            cell["fingerprint"] = f"fp-{cell['key']}"
            manifest["cells"].append(cell)
            rate = 0.72 * CAPACITY[name] * float(np.exp(rng.normal(0, 0.012)))
            result = {"capacity_status": "resolved", "capacity_rps": rate, "capacity_limited_by": "itl", "probes": []}
            result |= {"capacity_rps_low": 0.975 * rate, "capacity_rps_high": 1.025 * rate}
            rows[cell["key"]] = []
            records.append(record_of(cell, result, []))
    for record in records:
        record["flags"] = [flag for flag in record["flags"] if flag["code"] != "emulated_kernel"]
        record["engine"]["kernels"] = [{"layer": "Linear", "kernel": "CutlassFP8", "emulated": False}]
        record["engine"]["checkpoint"] = {
            "reference": f"hub/{record['cell']['variant']}",
            "revision": "0f3a",
            "digest": "9c1e" * 16,
            "size_bytes": BYTES.get(record["cell"]["variant"]),
        }
    return manifest, records, rows


def watched_parts(repeats: int = 1, gpus: int = 1, **changes):
    """The study as if its GPUs had been watched; each repeat takes 1 % more energy than the one before. `changes`: of
    each GPU's facts."""
    manifest, records, rows = parts(repeats=repeats)
    for record in records:
        cell = record["cell"]
        gpu = {"index": 0, "name": "NVIDIA H100", "energy_from": "counter", "power_w_mean": 500.0, "power_w_max": 690.0}
        gpu |= {
            "sm_mhz_median": 1755,
            "sm_mhz_min": 1200,
            "sm_mhz_limit": 1980,
            "memory_used_bytes_max": 70_000_000_000,
        }
        record["telemetry"] = {"energy_j": 100.0, "gpus": [gpu | changes] * gpus}
        if cell["kind"] == "load":
            per_token = PER_TOKEN_J[cell["variant"]] * 1.01 ** cell["repeat"]
            record["telemetry"] |= {"energy_j_per_output_token": per_token, "energy_j_per_token": per_token / 3}
    return manifest, records, rows


def big_parts():
    """6 variants x 9 scenarios x 10 rates."""
    variants = VARIANTS | {name: v | {"gpus": 1, "deployment_of": None} for name, v in DEPLOYMENTS.items()}
    shapes = [(512, 256), (1024, 128), (256, 1024), (256, 128), (768, 128), (1024, 1024), (96, 16), (256, 8), (64, 24)]
    scenarios = {f"scenario_{prompt}_{output}": (prompt, output) for prompt, output in shapes}
    return parts(variants, rates=[0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0], scenarios=scenarios)


def without(records: list[dict], *prefixes: str) -> list[dict]:
    return [record for record in records if not record["cell"]["key"].startswith(prefixes)]
