"""Everything that is asked of one wheel on one GPU, in one process; tests read the answers."""

import hashlib
import re
from functools import cache
from pathlib import Path
from typing import Any

from harness.config.schema import Config
from harness.sweeps.composing.compose import compose_sweep
from harness.sweeps.preflight.unsupported import engine_fits
from tests.wheels import forms, made, standins, studies, wheels
from tests.wheels.expected import CHECKPOINTS, HOME, RUNS

OPERATORS = (
    *("_C::cutlass_scaled_mm", "_C::cutlass_scaled_sparse_mm", "_C::cutlass_sparse_compress"),
    *("aten::_scaled_mm", "aten::_int_mm", "aten::_cslt_compress", "aten::_cslt_sparse_mm"),
    "aten::_cslt_sparse_mm_search",
)
FUNCTIONS = ("cutlass_scaled_mm", "cutlass_sparse_compress", "cutlass_scaled_sparse_mm")  # of vllm._custom_ops
TEXTS = (
    "The capital of France is Paris.",
    "def f(x):\n    return  x ** 2  # square\n\n\n\tprint(f(3))",
    "Größe, naïve, 東京タワー, Привет, العربية, 🦉🚀",
    "   leading and trailing   ",
    "1234567890 3.14159 1,000,000 -5e-7",
    "<|im_start|>user\nHi<|im_end|>\n",
    "don't they're I'll 'quoted' \"double\"",
    "",
)
CHATS = (
    [{"role": "user", "content": "What is 2 + 2?"}],
    [
        {"role": "system", "content": "Answer in one word."},
        {"role": "user", "content": "Capital of Japan?"},
        {"role": "assistant", "content": "Tokyo"},
        {"role": "user", "content": "And of Perú? 🦙"},
    ],
)


@cache
def folder(engine: str, gpu: str) -> Path:
    return wheels.ROOT / "runs" / f"{engine}-{gpu}"


@cache
def answers(engine: str, gpu: str) -> dict[str, dict]:
    return wheels.probe(engine, gpu, cases(engine, gpu), folder(engine, gpu))


def cases(engine: str, gpu: str) -> list[dict]:
    found = [model(engine, gpu, form, tuple(words)) for form, words in built(engine, gpu)]
    if HOME[engine] != gpu:
        return found
    asked = {
        f"{sweep}: {name}": words for sweep in of_engine(engine) for name, words in studies.commands(sweep).items()
    }
    found += [
        {"name": "commands", "kind": "commands", "commands": asked},
        {"name": "choices", "kind": "choices", "flags": ["--kv-cache-dtype"]},
        {"name": "operators", "kind": "operators", "names": OPERATORS, "functions": FUNCTIONS},
    ]
    for name in made_here(engine, gpu) if engine in CHECKPOINTS else ():
        path = made.path(name)
        arguments = ["--model", str(path), "--dtype", "bfloat16", "--max-model-len", "1024", *engine_args(name)]
        found.append({"name": f"made.{name}", "kind": "model", "device": "cpu", "load": True, "arguments": arguments})
        found.append({"name": f"tokens.{name}", "kind": "tokens", "model": str(path), "texts": TEXTS, "chats": CHATS})
    return found


def of_engine(engine: str) -> list[str]:
    return [sweep for sweep, study in studies.STUDIES.items() if study.engine == engine]


def built(engine: str, gpu: str) -> list[tuple[str, list[str]]]:
    """(form, its server's arguments), each pair once: of the sweeps on this GPU, and of the other forms of RUNS."""
    found = {}
    for sweep in of_engine(engine):
        if studies.STUDIES[sweep].gpu == gpu:
            for form, words in studies.served(sweep).values():
                found[form, plain(words)] = form, words
    for form in RUNS[engine, gpu]:
        if form not in {known for known, _ in found}:
            found[form, ()] = form, []
    return list(found.values())


def plain(words: list[str]) -> tuple[str, ...]:
    """Arguments that can change what is built."""
    return tuple(studies.without(words, "--served-model-name", "--port", "--host", "--revision"))


def model(engine: str, gpu: str, form: str, words: tuple[str, ...]) -> dict[str, Any]:
    path = forms.write(form, folder(engine, gpu) / "forms" / form)
    arguments = ["--model", str(path), "--skip-tokenizer-init", *words]
    return {"name": name_of(form, words), "kind": "model", "device": "meta", "arguments": arguments}


def name_of(form: str, words: list[str] | tuple[str, ...]) -> str:
    asked = plain(list(words))
    return f"model.{form}" + (f".{hashlib.sha256(repr(asked).encode()).hexdigest()[:6]}" if asked else "")


@cache
def made_here(engine: str, gpu: str) -> tuple[str, ...]:
    """Names of the checkpoints that we make and that `needs` admits on this engine and GPU; MODELS have none."""
    config = compose_sweep([*made.SWEEP[:2], f"engine={engine}", f"variant=[{','.join(['bf16', *made.variants()])}]"])
    capability = float(standins.GPUS[gpu].capability)
    return made.MODELS + tuple(name for name in made.variants() if admitted(config, name, capability))


def admitted(config: Config, name: str, capability: float) -> bool:
    needs = config.variants[name].needs
    low, high = needs.compute_capability or 0.0, needs.compute_capability_below or 99.0
    fits = not needs.engine or engine_fits(needs.engine, config.engine.kind, config.engine.version)
    return bool(fits) and low <= capability < high


def engine_args(name: str) -> list[str]:
    return ["--kv-cache-dtype", "fp8"] if name == "fp8_kv" else []


def log_of(engine: str, gpu: str, name: str) -> Path:
    return folder(engine, gpu) / f"{name}.log"


def said(error: str | None, pattern: str) -> bool:
    return bool(error and re.search(pattern, error))
