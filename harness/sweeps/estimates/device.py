"""What a session's requests are answered by: the model's size and the device, as far as they are known."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from harness.checkpoints import source
from harness.checkpoints.hub import snapshot
from harness.checkpoints.model_config import read_file
from harness.checkpoints.model_size import active_weights, weights_by_name
from harness.checkpoints.sources import Hub
from harness.engines.parallel import gpus_of
from harness.gemm.hardware import data_sheet
from harness.machine import host
from harness.machine.data_sheets import HARDWARE
from harness.sweeps.estimates.pace import (
    EMULATED,
    FLOPS_OF_CORE,
    INT4_ON_CPU,
    SIMULATED,
    Answer,
    Pace,
    answered_pace,
    cpu_pace,
    gpu_pace,
)
from harness.sweeps.preflight.unsupported import emulated
from harness.sweeps.prepare import Prepared
from harness.sweeps.session import Session

CPU_WEIGHTS, GPU_WEIGHTS = 135e6, 8e9  # of a model whose size is not known yet
ASSUMED_GPU = HARDWARE["h100"]
COMPRESSED_BYTES = 8  # memory for each weight of a model that is compressed: twice the model in single precision
RESERVE_BYTES = 2 << 30


@dataclass(frozen=True)
class Device:
    """The machine that a sweep's engine computes on."""

    prepared: Prepared
    answers: Mapping[str, Answer] = field(default_factory=dict)  # of a server of someone else, by session

    @property
    def on_cpu(self) -> bool:
        return self.prepared.engine.device == "cpu"

    @cached_property
    def gpu(self) -> str | None:
        found = host.gpus_for(self.prepared.engine)
        return found[0].get("name") if found else None

    @property
    def words(self) -> str:
        """What rules of thumb start from."""
        if self.prepared.engine.kind == "simulated":
            return "for the simulated engine"
        if self.answers:
            return f"from one answer of {'the server' if len(self.answers) == 1 else 'each server'}"
        if not self.prepared.engine.loads_weights:
            return "for a server of unknown speed"
        if self.on_cpu:
            flag = next((flag for flag in FLOPS_OF_CORE if flag in host.cpu_flags()), "")
            return f"for {host.facts()['cores']} CPU cores with {CPU_NAMES.get(flag, 'no AVX2')}"
        if self.gpu:
            return f"for {self.gpu}"
        return f"for {ASSUMED_GPU.name}"

    def weights(self, reference: str) -> float:
        """Return the weights that a token is multiplied with: of its config.json, its name, or a usual model's."""
        found = weights_by_name(reference)
        if (folder := self._folder(reference)) is not None:
            with contextlib.suppress(OSError, ValueError):  # not made yet
                found = active_weights(read_file(folder / "config.json")) or found
        return found or (CPU_WEIGHTS if self.on_cpu else GPU_WEIGHTS)

    def may_make_beside(self, reference: str) -> bool:
        """Whether a checkpoint may be compressed while a server of this machine answers: there is no GPU that both
        need, and memory for both."""
        if not (self.prepared.engine.loads_weights and self.prepared.workshop.beside and self.on_cpu) or host.gpus():
            return False
        return host.available_bytes() >= COMPRESSED_BYTES * self.weights(reference) + RESERVE_BYTES

    def _folder(self, reference: str) -> Path | None:
        origin = source(reference)
        if isinstance(origin, Hub):
            return snapshot(origin.repository, origin.commit)
        return Path(self.prepared.workshop.location(reference, None))

    def is_downloaded(self, reference: str) -> bool:
        """Whether the weights of a checkpoint are on this machine, in whatever form."""
        origin = source(reference)
        if not isinstance(origin, Hub):
            return True
        folder = snapshot(origin.repository, origin.commit)
        return folder is not None and any(folder.glob("*.safetensors"))

    def pace(self, session: Session) -> Pace:
        prepared = self.prepared
        if prepared.engine.kind == "simulated":
            return SIMULATED
        if answer := self.answers.get(session.name):
            return answered_pace(answer)
        weights = self.weights(session.checkpoint or prepared.config.model)
        variant = prepared.config.variants[session.variant] if session.variant else None
        bits = variant.scheme.weights.bits if variant else 16
        if self.on_cpu:
            pace = cpu_pace(weights, host.facts()["cores"], host.cpu_flags())
            if session.variant and emulated(prepared.config, session.variant):
                return pace.slower(EMULATED)
            return pace.slower(INT4_ON_CPU) if bits == 4 else pace
        sheet = data_sheet(self.gpu) if self.gpu else None
        peak, bandwidth = (sheet.peak["bf16"], sheet.bandwidth) if sheet else (None, None)
        gpus = gpus_of(prepared.config, variant) if variant else 1
        return gpu_pace(
            weights, peak or ASSUMED_GPU.peak["bf16"], bandwidth or ASSUMED_GPU.bandwidth, gpus=gpus, bits=bits
        )


CPU_NAMES = {"amx_bf16": "AMX", "avx512_bf16": "AVX-512 BF16", "avx512f": "AVX-512", "avx2": "AVX2"}
