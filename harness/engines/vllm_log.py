"""vLLM's server log: the logging configuration that makes it name every layer's scheme, and what its lines say.

Read from the wheels 0.15.1, 0.18.1, 0.27.1 and 0.32.0. compressed-tensors names the scheme of each linear layer at
DEBUG; other quantization methods name a kernel for each kind of layer at INFO. No line names an unquantized layer.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from packaging.specifiers import SpecifierSet

from harness.engines.kernels import SIXTEEN_BIT, activations_of, is_emulated
from harness.engines.layer_names import compact
from harness.engines.releases import version_in
from harness.records.engine_facts import EngineFacts, Kernel, LoggedScheme

# These loggers are set to DEBUG; everything else of vLLM stays at INFO.
DEBUG_LOGGERS = (
    "vllm.model_executor.layers.quantization.compressed_tensors.compressed_tensors",  # Using scheme: X for LAYER
    "vllm.platforms.cuda",  # AttentionSelectorConfig(..., kv_cache_dtype=...)
    "vllm.platforms.rocm",
)
PROCESS_IN_FORMAT = SpecifierSet(">=0.32")  # before, vLLM writes the process in front of each line itself

SCHEME = re.compile(r"Using scheme: (\w+) for (\S+)")
CHOICE = re.compile(r"(?:Selected|Using) (\S+) for (.+?)\s*$")  # Selected X for CompressedTensorsW8A8Fp8
BACKEND_FOR = re.compile(r"Using '?(\S+?)'? backend for (.+? (?:GEMM|MoE)\b)")
EXPERTS = re.compile(r"Using '?(\S+?)'? ([\w ]*MoE) backend\b", re.IGNORECASE)
WEIGHT_ONLY = re.compile(r"support for (FP\d) computation but .* leveraging the (Marlin) kernel")
FALLBACK = re.compile(r"Layer '(\S+)' is not supported by \w+\. Falling back to (.+?)\.")
A16 = re.compile(r"(\w+) is a weight-only \(A16\) kernel; the requested activation quantization")
SIMULATED = re.compile(r"does not support native (\S+) computation\. Simulated weight dequantization")
ATTENTION = re.compile(
    r"Using (?:(\w+) attention backend out of|AttentionBackendEnum\.(\w+) backend\.|(\w+_MLA) backend\.)"
)
SELECTOR_KV = re.compile(r"AttentionSelectorConfig\(.*?\bkv_cache_dtype=([\w.]+)")
MLA_KV = re.compile(r"Using (\S+) KV cache format for")
SCALED_KV = re.compile(r"Using KV cache scaling factor|does not provide a q scaling factor|Using uncalibrated q_scale")
ENGINE = re.compile(r"Initializing a V1 LLM engine")
QUANTIZATION = re.compile(r"\bquantization=([\w-]+)")
ENGINE_KV = re.compile(r"\bkv_cache_dtype=([\w.]+)")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
MOST_NAMES = 24  # compact layer names that are stored for a scheme


def logging_config(version: str, env: Mapping[str, str]) -> dict[str, Any]:
    """A `dictConfig` with vLLM's own formatter and handler, uvicorn's defaults, and DEBUG_LOGGERS at DEBUG.

    uvicorn's are here because vLLM passes the same file to it.
    """
    level = "DEBUG" if env.get("VLLM_LOGGING_LEVEL", "").upper() == "DEBUG" else "INFO"
    stream = env.get("VLLM_LOGGING_STREAM") or "ext://sys.stdout"
    process = "(%(vllm_process_name)s pid=%(process)d) " if version_in(version, PROCESS_IN_FORMAT) else ""
    prefix = env.get("VLLM_LOGGING_PREFIX", "").replace("%", "%%")
    format = f"{prefix}{process}%(levelname)s %(asctime)s [%(fileinfo)s:%(lineno)d] %(message)s"
    uvicorn = "uvicorn.logging.DefaultFormatter"
    access = "uvicorn.logging.AccessFormatter"
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "vllm": {"class": "vllm.logging_utils.NewLineFormatter", "datefmt": "%m-%d %H:%M:%S", "format": format},
            "default": {"()": uvicorn, "fmt": "%(levelprefix)s %(message)s", "use_colors": False},
            "access": {
                "()": access,
                "fmt": '%(levelprefix)s %(client_addr)s - "%(request_line)s" %(status_code)s',
                "use_colors": False,
            },
        },
        "handlers": {
            "vllm": {"class": "logging.StreamHandler", "formatter": "vllm", "stream": stream},
            "default": {"class": "logging.StreamHandler", "formatter": "default", "stream": "ext://sys.stderr"},
            "access": {"class": "logging.StreamHandler", "formatter": "access", "stream": "ext://sys.stdout"},
        },
        "loggers": {
            "vllm": {"handlers": ["vllm"], "level": level, "propagate": False},
            **{name: {"level": "DEBUG"} for name in DEBUG_LOGGERS},
            "uvicorn": {"handlers": ["default"], "level": "INFO", "propagate": False},
            "uvicorn.error": {"level": "INFO"},
            "uvicorn.access": {"handlers": ["access"], "level": "INFO", "propagate": False},
        },
    }


def write_logging_config(log: Path, version: str, env: Mapping[str, str]) -> dict[str, str]:
    """Write the configuration beside the server's log; return the environment variable that names it.

    `env`: what the server would get without it. Empty where the user configures vLLM's logging, or turns it off.
    """
    if env.get("VLLM_LOGGING_CONFIG_PATH") or env.get("VLLM_CONFIGURE_LOGGING", "1") in ("0", ""):
        return {}
    path = log.with_suffix(".logging.json").absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(logging_config(version, env), indent=2) + "\n")
    return {"VLLM_LOGGING_CONFIG_PATH": str(path)}


def read_log(started: EngineFacts, log: Path, capability: float | None = None) -> EngineFacts:
    """`started` with what the lines since the engine's last start name; what no line speaks of is absent."""
    try:
        text = log.read_text(errors="replace")
    except OSError:
        return started
    lines = [COLOUR.sub("", line) for line in text.rpartition("\n$ ")[2].splitlines()]
    named = [match.groups() for line in lines if (match := SCHEME.search(line))]
    schemes: dict[str, dict[str, None]] = {}
    for scheme, layer in named:
        schemes.setdefault(scheme, {})[layer] = None
    kernels = _kernels(lines, started.device, capability)
    attention = [next(filter(None, match.groups())) for line in lines if (match := ATTENTION.search(line))]
    attention += [entry.kernel for entry in kernels if entry.layer.endswith("CPU attention")]
    engine = next((line for line in lines if ENGINE.search(line)), "")
    method = match[1] if (match := QUANTIZATION.search(engine)) else None
    return replace(
        started,
        kernels=kernels,
        # The attention selector's line is at DEBUG too: where it is logged, no scheme was left out.
        names_schemes=bool(schemes) or any(SELECTOR_KV.search(line) for line in lines),
        schemes={name: logged_scheme(layers) for name, layers in schemes.items()},
        attention=tuple(dict.fromkeys(attention)),
        quantization="none" if method == "None" else method,
        kv_cache_dtype=_kv_cache_dtype(lines, engine),
    )


def _kernels(lines: Iterable[str], device: str | None, capability: float | None) -> tuple[Kernel, ...]:
    """Each (layer, kernel) once, in the log's order."""
    lines = list(lines)
    weight_only = {match[1] for line in lines if (match := A16.search(line))}
    pairs = [pair for line in lines if (pair := _kernel_choice(line))]
    slower: dict[str, dict[str, None]] = {}  # kernel: layers, one line each
    for match in filter(None, map(FALLBACK.search, lines)):
        slower.setdefault(match[2], {})[match[1]] = None
    pairs += [(layer, kernel) for kernel, layers in slower.items() for layer in compact(layers)]
    found = []
    for layer, kernel in dict.fromkeys(pairs):
        activations = SIXTEEN_BIT if kernel in weight_only else activations_of(kernel, layer, capability)
        found.append(Kernel(layer, kernel, is_emulated(kernel, device), activations or ""))
    return tuple(found)


def _kernel_choice(line: str) -> tuple[str, str] | None:
    """(layer, kernel) of a line that names one."""
    if match := BACKEND_FOR.search(line) or EXPERTS.search(line):
        return match[2], match[1]
    if match := WEIGHT_ONLY.search(line):
        return match[1], f"{match[2]} (weight-only)"
    if match := SIMULATED.search(line):
        return match[1], "emulated by dequantization"
    match = CHOICE.search(line)
    if match and ("Kernel" in match[1] + match[2] or re.search("attention|GEMM|MoE|mixed-precision", match[2], re.I)):
        return match[2].split(" (")[0].rstrip("."), match[1]
    return None


def _kv_cache_dtype(lines: Iterable[str], engine: str) -> str | None:
    """What attention layers were built with before what the command line said: a checkpoint may ask for FP8 itself."""
    lines = list(lines)
    told = [match[1] for line in lines if (match := SELECTOR_KV.search(line)) and match[1] != "None"]
    told += [match[1] for line in lines if (match := MLA_KV.search(line))]
    if told:
        return ", ".join(dict.fromkeys(told))
    if any(SCALED_KV.search(line) for line in lines):
        return "fp8"
    match = ENGINE_KV.search(engine)
    return match[1] if match else None


def logged_scheme(layers: Iterable[str]) -> LoggedScheme:
    layers = list(layers)
    names = compact(layers)
    more = [f"and {len(names) - MOST_NAMES} more"] if len(names) > MOST_NAMES else []
    return LoggedScheme(len(layers), (*names[:MOST_NAMES], *more))
