"""Cells of the GEMM study: the products of one linear layer in a variant's number format."""

from collections.abc import Iterator, Mapping, Sequence

from harness.gemm import GEMM
from harness.gemm.formats import format_of
from harness.records.cell import Cell, PlannedCell
from harness.sweeps.estimates.pace import Pace
from harness.sweeps.fingerprint import fingerprint
from harness.sweeps.kinds.contract import Tokens
from harness.sweeps.prepare import Prepared
from harness.sweeps.session import Session

KERNELS = 3  # of a format, its baseline's among them


class Gemm:
    session = GEMM
    times = True
    varies = False

    def plan(self, prepared: Prepared, session: Session, planned: Mapping[str, PlannedCell]) -> Iterator[PlannedCell]:
        """Yield them layer by layer, the baseline first."""
        config, settings = prepared.config, prepared.config.gemm
        timing = {key: getattr(settings, key) for key in ("repeats", "min_time_ms", "max_point_s", "tensor_parallel")}
        timing["batch_sizes"] = list(settings.batch_sizes)
        left_out = {entry.variant for entry in prepared.left_out if entry.part == GEMM}
        baseline = format_of(config.variants[config.baseline].scheme)
        for layer in settings.layers:
            for name in prepared.order:
                variant = config.variants[name]
                if variant.deployment_of or (format := format_of(variant.scheme)) is None or name in left_out:
                    continue  # the axes of a deployment change no product
                product = {"layer": layer, "format": format, "against": baseline}
                inputs = {"variant": name, GEMM: product | timing, **session.inputs}
                key = f"{name}/{GEMM}/{layer}"
                yield PlannedCell(key, GEMM, name, fingerprint(inputs), layer=layer, inputs=inputs)

    def seconds(self, cell: Cell, prepared: Prepared, pace: Pace, first: bool) -> float:
        settings = prepared.config.gemm
        return KERNELS * len(settings.batch_sizes) * (2 + settings.repeats) * settings.min_time_ms / 1e3

    def tokens(self, cell: Cell, prepared: Prepared) -> Tokens:
        return 0.0, 0.0  # preflight says that an endpoint multiplies nothing for us

    def remark(self, cells: Sequence[Cell], prepared: Prepared) -> str | None:
        return None
