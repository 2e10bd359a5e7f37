"""What this machine or engine does not support of a sweep: variants whose `needs` are not met, and emulated schemes.

With on_unsupported=refuse preflight stops on them; with on_unsupported=skip they are left out of the plan, and the dry
run, the report and the checks name them with the reason.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from harness.config.schema import SKIP, Config
from harness.config.schemes import needs_words
from harness.engines import Engine
from harness.engines.parallel import gpus_of
from harness.engines.releases import version_in
from harness.machine import host
from harness.records.manifest import WHOLE_VARIANT, LeftOut


def said_of(entry: LeftOut) -> str:
    """``variant sparse24_fp8: needs compute capability 9.0; this machine: 8.0``"""
    where = "variant" if entry.part == WHOLE_VARIANT else f"{entry.part} of variant"
    return f"{where} {entry.variant}: {entry.reason}"


def leave_out(config: Config, engine: Engine) -> tuple[Config, list[LeftOut]]:
    """The sweep without its unsupported variants, and those with the reason.

    The baseline stays: without it there is nothing to compare, and preflight says what it lacks. Where a CUDA engine
    finds no GPU at all, every variant stays: the missing GPU is the problem to report.
    """
    if config.on_unsupported != SKIP or not engine.loads_weights or _no_gpu(config):
        return config, []
    reasons = {name: unmet(config, name) for name in config.variants if name != config.baseline}
    left_out = [LeftOut(WHOLE_VARIANT, name, config.variants[name].label, why) for name, why in reasons.items() if why]
    kept = {name: variant for name, variant in config.variants.items() if not reasons.get(name)}
    return replace(config, variants=kept), left_out


def unmet(config: Config, name: str) -> str | None:
    """All that a variant's kernels need and all that is here, in one line; None where its needs are met."""
    needs, engine = config.variants[name].needs, config.engine
    device, version = engine.device, engine.version
    served_by = f"{engine.kind} {version or ''}".rstrip()
    if device == "cpu":
        if needs.cpu != "none":
            return _no_flag(needs.cpu_flags)
        instead = f"; on a GPU it needs {needs_words(needs)}" if needs_words(needs) else ""
        return f"has no kernels on a CPU; this engine: {served_by} for CPU{instead}"
    lacking, here = [], []
    if needs.compute_capability is not None and device == "cuda":
        used = host.gpus_for(engine)[: gpus_of(config, config.variants[name])]
        least = min((gpu["compute_capability"] or 0.0 for gpu in used), default=None)
        below = needs.compute_capability_below or float("inf")
        lacking.append(least is None or not needs.compute_capability <= least < below)
        here.append(f"this machine: {least or 'none'}")
    if needs.engine:
        fits = engine_fits(needs.engine, engine.kind, version)
        lacking.append(fits is False)
        here.append(f"this engine: {served_by}")
    return f"needs {needs_words(needs)}; {'; '.join(here)}" if any(lacking) else None


def _no_flag(wanted: Sequence[str]) -> str | None:
    if not wanted or host.cpu_flags().intersection(wanted):
        return None
    return f"needs a CPU with {' or '.join(wanted)}; this machine: {host.facts()['cpu']}"


def emulated(config: Config, name: str) -> str | None:
    """Why a supported variant does not run on arithmetic of its format here; None where it does, or should."""
    if config.engine.device != "cpu":
        return None
    return {
        "emulated": "its number format is emulated on a CPU",
        "dense": "a CPU multiplies its 2:4 sparse weights as dense ones",
    }.get(config.variants[name].needs.cpu)


def engine_fits(need: str, kind: str, version: str | None) -> bool | None:
    """Whether an engine meets ``vllm>=0.7,<0.19``; None if the need cannot be read."""
    match = re.fullmatch(r"([a-z_]+)\s*(.*)", need)
    if match is None:
        return None
    try:
        wanted = SpecifierSet(match[2])
    except InvalidSpecifier:
        return None
    return match[1] == kind and (not version or version_in(version, wanted))


def _no_gpu(config: Config) -> bool:
    return config.engine.device == "cuda" and not host.gpus_for(config.engine)
