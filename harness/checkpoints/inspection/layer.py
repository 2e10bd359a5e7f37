"""One inspected layer: how it lies in the file and what its bytes hold."""

from dataclasses import dataclass

from harness.checkpoints.inspection.layouts import EMBEDDINGS
from harness.checkpoints.inspection.values import Measured, Scales
from harness.config.variants import Format


@dataclass(frozen=True)
class Layer:
    name: str
    kind: str  # q_proj, down_proj, lm_head, embed_tokens, ...
    layout: str  # see layouts.py
    format: Format  # granularity None: unquantized, or scales that fit no reading
    shape: tuple[int, int]  # out, in; of fused experts the rows of all
    bytes: int  # weights, scales, zero points, indices
    parts: tuple[str, ...]
    scale: Scales | None
    scale_facts: dict[str, Scales]  # by part
    measured: Measured
    matrices: int = 1  # experts that one tensor holds
    scale_shape: tuple[int, ...] = ()  # of one matrix (out, in)

    @property
    def count(self) -> int:
        return self.shape[0] * self.shape[1]

    @property
    def matrix(self) -> tuple[int, int]:
        return self.shape[0] // max(1, self.matrices), self.shape[1]

    @property
    def fused(self) -> bool:
        return self.matrices > 1

    @property
    def bits_per_weight(self) -> float:
        return self.bytes * 8 / max(1, self.count)

    @property
    def quantized(self) -> bool:
        return self.format.bits < 16

    @property
    def embedding(self) -> bool:
        return bool(EMBEDDINGS.search(self.kind))

    @property
    def sparse24(self) -> bool:
        """Every group that was looked at has two zeros; by construction in the formats that store 2:4."""
        if self.layout == "marlin_24":
            return True
        return self.measured.groups > 0 and self.measured.sparse_groups == self.measured.groups
