"""Which GPUs the sessions of a plan use: those that CUDA shows the engine, the first N of them for a server on N."""

import os
from collections.abc import Mapping

from harness.config.schema import Config
from harness.config.variants import Variant
from harness.engines import Engine
from harness.engines.parallel import gpus_of
from harness.executors import Executor
from harness.machine import host
from harness.machine.devices import Device
from harness.sweeps.plan import Plan
from harness.sweeps.session import Session
from harness.telemetry.problems import problems
from harness.telemetry.sampler import used_devices


def devices(config: Config, engine: Engine, session: Session) -> tuple[Device, ...]:
    """Empty where the server is not on this machine's NVIDIA GPUs, or NVML is not here."""
    if not on_gpus(engine, session):
        return ()
    return used_devices(_environment(config), _count(config, session))


def gpu_problems(config: Config, engine: Engine, executor: Executor, plan: Plan) -> list[str]:
    """Lines for preflight: of every GPU of the executor, where it has several."""
    if host.node():
        return []  # what runs there is the executor's to look at
    wanted = {s.name: _count(config, s) for s in plan.sessions if on_gpus(engine, s)}
    if wanted and executor.variables:
        wanted["executor.gpus"] = executor.gpus
    return problems({**_environment(config), **executor.variables}, wanted) if wanted else []


def needed(config: Config, engine: Engine, session: Session) -> int:
    """Return the GPUs that a session's server takes of its executor; the simulated engine's are only counted."""
    counted = engine.kind == "simulated" and session.served is not None
    return _count(config, session) if counted or on_gpus(engine, session) else 0


def needed_cores(config: Config, engine: Engine, session: Session) -> int:
    """Return the CPU cores that a session keeps busy: its engine's API server and a process for each GPU, and its load
    client's processes.

    A rule of thumb, for executors that assign cores; 0 for the simulated engine, whose time is not this machine's.
    """
    if engine.kind == "simulated":
        return 0
    client = config.load.workers + 1 if session.scenarios else 1
    return client + (1 + needed(config, engine, session) if session.served is not None else 1)


def on_gpus(engine: Engine, session: Session) -> bool:
    """Whether the server of a session is on NVIDIA GPUs of this machine."""
    return engine.loads_weights and engine.device == "cuda" and bool(session.checkpoint)


def _count(config: Config, session: Session) -> int:
    variant = config.variants[session.variant] if session.variant else Variant(engine_args=list(session.args))
    return gpus_of(config, variant)


def _environment(config: Config) -> Mapping[str, str]:
    return {**os.environ, **config.engine.env}
