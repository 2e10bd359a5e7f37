"""Which GPUs the sessions of a plan use: those that CUDA shows the engine, the first N of them for a server on N."""

import os
from collections.abc import Mapping

from harness.config.schema import Config
from harness.config.variants import Variant
from harness.engines import Engine
from harness.engines.parallel import gpus_of
from harness.machine.devices import Device
from harness.sweeps.plan import JUDGE, Plan, Session
from harness.telemetry.problems import problems
from harness.telemetry.sampler import used_devices


def devices(config: Config, engine: Engine, session: Session) -> tuple[Device, ...]:
    """Empty where the server is not on this machine's NVIDIA GPUs, or NVML is not here."""
    if not _on_gpus(config, engine, session):
        return ()
    return used_devices(_environment(config), _count(config, session))


def gpu_problems(config: Config, engine: Engine, plan: Plan) -> list[str]:
    """Lines for preflight."""
    wanted = {s.name: _count(config, s) for s in plan.sessions if _on_gpus(config, engine, s)}
    return problems(_environment(config), wanted) if wanted else []


def _on_gpus(config: Config, engine: Engine, session: Session) -> bool:
    elsewhere = session.variant == JUDGE and config.judge is not None and config.judge.base_url is not None
    return engine.loads_weights and engine.device == "cuda" and not elsewhere


def _count(config: Config, session: Session) -> int:
    return gpus_of(config, config.variants.get(session.variant) or Variant(engine_args=list(session.served.args)))


def _environment(config: Config) -> Mapping[str, str]:
    return {**os.environ, **config.engine.env}
