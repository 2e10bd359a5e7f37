"""What of the GEMM study this engine and machine cannot measure. Shapes are known once it runs."""

from pathlib import Path

from harness.checkpoints.prepare import Workshop
from harness.config.schema import SKIP, Config
from harness.engines import Engine
from harness.errors import HarnessError
from harness.gemm import GEMM
from harness.gemm.formats import format_of
from harness.gemm.shapes import model_layers, problems
from harness.machine import host
from harness.records.manifest import LeftOut


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
    """Return what is wrong with a config.json that is here already; of others the run says it."""
    location = workshop.location(config.model, None)
    if not (Path(location) / "config.json").is_file():
        return []
    try:
        model_layers(config.model, location, config.gemm)
    except HarnessError as error:
        return [str(error)]
    return []
