"""What the worker said of a layer, as the outcome of a variant's cell."""

from harness.config.schema import Config
from harness.errors import CellError
from harness.gemm.formats import flops, format_of, moved_bytes
from harness.gemm.hardware import data_sheet
from harness.gemm.shapes import Layer
from harness.gemm.worker_events import Measured, TimedKernel, WorkerFacts
from harness.records import Outcome
from harness.records.flag import Flag
from harness.records.gemm_result import GemmResult, ProductRow, Roofline


def outcome(config: Config, variant: str, layer: Layer, found: Measured, facts: WorkerFacts) -> tuple[Outcome, str]:
    """The cell's outcome and the name of the engine's kernel. Raises CellError where the engine has none here."""
    format, baseline = _format(config, variant), _format(config, config.baseline)
    mine = [row for row in found.rows if row.format == format]
    absent = tuple(left.absence for left in (*found.absent, *found.skipped) if left.format == format)
    engine = [row for row in mine if row.role == "engine"]
    if not engine:
        why = "; ".join(dict.fromkeys(f"{one.kernel}: {one.reason}" for one in absent))
        raise CellError(f"no {format} product of {layer.name} was measured: {why or 'the engine has no kernel'}")
    base = {row.batch: row.times_s for row in found.rows if row.format == baseline and row.role == "engine"}
    kernel = engine[0].kernel + (f" ({engine[0].note})" if engine[0].note else "")
    result = GemmResult(
        layer=layer.name,
        n=layer.n,
        k=layer.k,
        count=layer.count,
        format=format,
        against=baseline,
        tensor_parallel=config.gemm.tensor_parallel,
        absent=absent,
        roofline=roofline(facts),
        kernel=kernel,
    )
    rows = [_row(layer, row, base).to_json() for row in mine]
    return Outcome(result, rows, _wrong_products(mine)), kernel


def _row(layer: Layer, timed: TimedKernel, base: dict[int, list[float]]) -> ProductRow:
    return ProductRow(
        batch=timed.batch,
        kernel=timed.kernel,
        role=timed.role,
        note=timed.note,
        times_s=tuple(timed.times_s),
        calls=timed.calls,
        clock=timed.clock,
        copies=timed.copies,
        error=timed.error,
        bound=timed.bound,
        flops=flops(timed.batch, layer.n, layer.k),
        bytes=moved_bytes(timed.format, timed.batch, layer.n, layer.k),
        baseline_times_s=tuple(base.get(timed.batch, ()) if timed.role == "engine" else ()),
    )


def _wrong_products(rows: list[TimedKernel]) -> list[Flag]:
    """A wrong kernel of the engine makes the cell invalid; a vendor's is only compared with it."""
    flags = []
    for role, level in (("engine", "invalid"), ("vendor", "caution")):
        wrong = [row for row in rows if row.role == role and not row.is_right]
        if wrong:
            worst = max(wrong, key=lambda row: float("inf") if row.error is None else row.error)
            size = "not finite" if worst.error is None else f"{worst.error:.2g}"
            flags.append(
                Flag(
                    "wrong_product",
                    level,
                    f"{worst.kernel} at batch size {worst.batch}: relative error {size} of the float64 product, "
                    f"rounding explains {worst.bound:.2g}",
                )
            )
    return flags


def _format(config: Config, variant: str) -> str:
    """Return the number format of a variant whose products are timed. Raises CellError for another."""
    format = format_of(config.variants[variant].scheme)
    if format is None:
        raise CellError(f"variant {variant}: products of its scheme are not timed")
    return format


def roofline(facts: WorkerFacts) -> Roofline | None:
    """A GPU's data sheet by its name; of a CPU what was measured; None where neither is known."""
    if facts.device_name:
        return data_sheet(facts.device_name)
    if facts.bandwidth is not None:
        return Roofline("this CPU", "measured", facts.bandwidth, facts.peak)
    return None


def pending_formats(config: Config, cells: list[tuple[str, str]]) -> dict[str, list[str]]:
    """By layer, the formats of the (variant, layer) cells to measure; the baseline's is always timed beside them."""
    formats: dict[str, list[str]] = {}
    baseline = _format(config, config.baseline)
    for variant, layer in cells:
        wanted = formats.setdefault(layer, [baseline])
        if (format := _format(config, variant)) not in wanted:
            wanted.append(format)
    return formats
