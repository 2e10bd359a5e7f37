"""The session of the GEMM study: a cell for each layer and variant. Pure; shapes are known once it runs."""

from pathlib import Path
from typing import Any

from harness.checkpoints.file_digests import Digests
from harness.checkpoints.prepare import Workshop
from harness.config.schema import SKIP, Config
from harness.engines import Engine
from harness.errors import HarnessError
from harness.gemm import GEMM
from harness.gemm.formats import format_of
from harness.gemm.shapes import config_identity, model_layers, problems
from harness.machine import host
from harness.records.manifest import LeftOut


def gemm_inputs(
    config: Config, engine: Engine, digests: Digests | None = None
) -> list[tuple[str, str, dict[str, Any]]]:
    """(variant, layer, what decides its result) of each cell: layer by layer, the baseline first."""
    settings = config.gemm
    left_out = {entry.variant for entry in products_left_out(config, engine)}
    if not settings.batch_sizes or config.baseline in left_out:
        return []
    known = engine.gemm.fingerprint() if engine.gemm else {}
    here = host.identity(host.gpus_for(engine)[:1])
    shared = {"engine": known, "host": here, "model": config_identity(config.model, config.compression, digests)}
    timing = {key: getattr(settings, key) for key in ("repeats", "min_time_ms", "max_point_s", "tensor_parallel")}
    timing["batch_sizes"] = list(settings.batch_sizes)
    baseline = format_of(config.variants[config.baseline].scheme)
    order = sorted(config.variants, key=lambda name: name != config.baseline)
    found = []
    for layer in settings.layers:
        for name in order:
            variant = config.variants[name]
            if variant.deployment_of or (format := format_of(variant.scheme)) is None or name in left_out:
                continue  # the axes of a deployment change no product
            product = {"layer": layer, "format": format, "against": baseline}
            found.append((name, layer, {"variant": name, GEMM: product | timing, **shared}))
    return found


def gemm_problems(config: Config, engine: Engine, workshop: Workshop) -> list[str]:
    """What preflight can say: the engine, the formats it has kernels for, the model's shapes where they are here."""
    if not config.gemm.batch_sizes:
        return []
    missing = missing_products(config, engine)
    skips = config.on_unsupported == SKIP and bool(config.suites or config.scenarios)
    if skips and config.baseline in missing:
        return []
    if engine.gemm is None:
        return list(dict.fromkeys(missing.values()))
    found = [] if skips else [f"variant {name}: {reason}" for name, reason in missing.items()]
    if engine.device == "cuda" and not host.gpus_for(engine):
        found.append("the GEMM study needs a GPU; this machine has none (NVML): set engine=vllm_cpu for its CPU")
    return found + (problems(config.model) or _shape_problems(config, workshop))


def missing_products(config: Config, engine: Engine) -> dict[str, str]:
    """{variant: reason} of the variants whose products this engine has no kernels for. Empty without a GEMM study."""
    if not config.gemm.batch_sizes:
        return {}
    timed = {name: format for name, v in config.variants.items() if (format := format_of(v.scheme)) is not None}
    if engine.gemm is None:
        reason = (
            f"engine {config.engine.kind} has no Python whose kernels could be timed; for the GEMM study set "
            "engine=vllm, vllm_sparse or vllm_cpu"
        )
        return dict.fromkeys(timed, reason)
    known = engine.gemm.formats()
    there = ", ".join(known) or "none"
    return {
        name: f"no {format} products on device {engine.device}; formats there: {there}"
        for name, format in timed.items()
        if format not in known
    }


def products_left_out(config: Config, engine: Engine) -> list[LeftOut]:
    """Return what on_unsupported=skip leaves out; a baseline without products leaves out the whole GEMM study."""
    missing = missing_products(config, engine) if config.on_unsupported == SKIP else {}
    if config.baseline in missing:
        missing = dict.fromkeys(config.variants, missing[config.baseline])
    return [LeftOut(GEMM, name, config.variants[name].label, reason) for name, reason in missing.items()]


def _shape_problems(config: Config, workshop: Workshop) -> list[str]:
    """Of a config.json that is here already; of others the run says it."""
    location = workshop.location(config.model, None)
    if not (Path(location) / "config.json").is_file():
        return []
    try:
        model_layers(config.model, location, config.gemm)
    except HarnessError as error:
        return [str(error)]
    return []
