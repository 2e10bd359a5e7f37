"""The named sweeps on the GPUs that they were written for: server commands, and each variant's checkpoint form."""

from dataclasses import dataclass
from functools import cache

from harness.config.schema import Config
from harness.sweeps.composing.compose import compose_sweep, options
from harness.sweeps.plan import Plan, build_plan
from harness.sweeps.prepare import prepare
from harness.sweeps.session import Session
from tests.wheels.wheels import ROOT

MODEL = {"which_compression": ["model=meta-llama/Llama-3.1-8B-Instruct"]}
INSTRUCT = {"bf16": "bf16", "fp8_dynamic": "fp8_dynamic", "int8_w8a8": "int8_w8a8", "w4a16": "w4a16"}
SMALL = {
    "bf16": "smollm2_bf16",
    "fp8_dynamic": "smollm2_fp8",
    "sparse24_fp8_wanda": "smollm2_sparse24_fp8",
    "int8_w8a8": "smollm2_int8",
    "w4a16_rtn": "smollm2_w4a16",
}


@dataclass(frozen=True)
class Study:
    """`forms`: {variant, variant@load for its load_checkpoint: its form}; a gemm study has no servers."""

    engine: str
    gpu: str
    forms: dict[str, str]


STUDIES = {
    "hopper_sparse_fp8": Study(
        "vllm_sparse",
        "h100",
        {
            "bf16": "bf16",
            "fp8_dynamic": "fp8_dynamic",
            "sparse24_fp8": "sparse24_fp8",
            "w4a16": "w4a16",
            "judge": "awq_judge",
        },
    ),
    "gemm": Study("vllm_sparse", "h100", {}),
    "gpu_proof": Study("vllm_sparse", "h100", SMALL),
    "ampere_sparse_int4": Study(
        "vllm_sparse_marlin",
        "a100",
        {
            "bf16": "bf16",
            "w4a16": "w4a16",
            "sparse24_bf16": "sparse24_bf16",
            "sparse24_w4a16": "w4a16",
            "sparse24_w4a16@load": "marlin24",
        },
    ),
    "bf16_or_death": Study("vllm", "h100", INSTRUCT),
    "bf16_or_death_70b": Study("vllm", "h100", INSTRUCT),
    "bf16_or_death_405b": Study("vllm", "h100", INSTRUCT),
    "which_compression": Study(
        "vllm",
        "h100",
        {
            "bf16": "bf16",
            "fp8_dynamic": "fp8_dynamic",
            "int8_w8a8": "int8_w8a8",
            "w4a16_gptq": "w4a16",
            "w4a16_awq": "w4a16_asym",
        },
    ),
    "mixtral_fp8": Study(
        "vllm_bitsandbytes",
        "h100",
        {
            "fp16": "mixtral",
            "fp8_static": "mixtral_fp8",
            "w8a16_gptq": "mixtral_gptq8",
            "w4a16_gptq": "mixtral_gptq4",
            "w4a16_awq": "mixtral_awq",
            "nf4": "mixtral_nf4",
        },
    ),
}
NOT_CUDA = {
    "demo": "simulated",
    "gguf": "llama.cpp",
    "quickstart": "vLLM's CPU build",
    "servers": "endpoints that run already",
}


def check_every_sweep_is_here() -> None:
    assert {*STUDIES, *NOT_CUDA} == set(options("sweep"))


@cache
def planned(sweep: str) -> tuple[Config, object, Plan]:
    prepared = prepare(compose_sweep([f"+sweep={sweep}", *MODEL.get(sweep, []), f"cache_dir={ROOT}/plan"]))
    return prepared.config, prepared.engine, build_plan(prepared)


def sessions(sweep: str) -> list[Session]:
    """Those that start a server of the sweep's engine."""
    return [session for session in planned(sweep)[2].sessions if session.served]


def commands(sweep: str) -> dict[str, list[str]]:
    """{session: the arguments of its server, as the plan prints them}."""
    engine = planned(sweep)[1]
    return {s.name: engine.command(s.deployment("org/model", "main"), 8000)[3:] for s in sessions(sweep)}


def served(sweep: str) -> dict[str, tuple[str, list[str]]]:
    """{variant, as in `forms`: (form, its server's arguments without the model and the number of GPUs)}."""
    found = {}
    for session in sessions(sweep):
        head = planned(sweep)[0].variants[session.variant] if session.variant else None
        name = (head and head.deployment_of) or session.label
        name += "@load" if head and session.checkpoint == head.load_checkpoint else ""
        form = STUDIES[sweep].forms.get(name)
        if form and name not in found:
            words = planned(sweep)[1].command(session.deployment("MODEL"), 8000)[3:]
            found[name] = form, without(words, "--model", "--tensor-parallel-size")
    return found


def without(words: list[str], *flags: str) -> list[str]:
    dropped = {at + more for at, word in enumerate(words) if word in flags for more in (0, 1)}
    return [word for at, word in enumerate(words) if at not in dropped]
