"""What a cell's reader must know of the engine that answered: simulated, emulated, widened, without sparse kernels."""

from harness.checkpoints.inspection import Inspection
from harness.engines import Server
from harness.engines.kernels import no_sparse_kernel
from harness.plan import Cell
from harness.records import Flag


def engine_flags(cell: Cell, server: Server, kind: str, inspection: Inspection | None) -> list[Flag]:
    """`kind`: of the sweep's engine; `inspection`: of the checkpoint that it serves, where it was looked at."""
    flags = _kernel_flags(cell, server) + simulated_flags(kind)
    return flags + _slow_path_flags(cell, server, inspection) + widened_flags(cell, server)


def simulated_flags(kind: str) -> list[Flag]:
    message = "a simulated engine answered: this number says nothing about a model or its speed"
    return [Flag("simulated", "caution", message)] if kind == "simulated" else []


def _kernel_flags(cell: Cell, server: Server) -> list[Flag]:
    emulated = sorted({entry["kernel"] for entry in server.facts.get("kernels", []) if entry["emulated"]})
    if not emulated:
        return []
    level = "caution" if cell.kind == "load" else "note"
    return [Flag("emulated_kernel", level, f"{', '.join(emulated)}: the scheme is emulated; its speed says nothing")]


def widened_flags(cell: Cell, server: Server) -> list[Flag]:
    if server.facts.get("dtype") != "float32" or cell.kind == "judge":
        return []
    level = "caution" if cell.kind == "load" else "note"
    return [Flag("fp32_compute", level, "16-bit values are widened and computed in FP32: the speed is that of FP32")]


def _slow_path_flags(cell: Cell, server: Server, inspection: Inspection | None) -> list[Flag]:
    """2:4 weights that this engine multiplies as dense ones, zeros and all, without a word of it."""
    if inspection is None or cell.kind == "judge":
        return []
    reason = no_sparse_kernel(server.facts, inspection)
    if reason is None:
        return []
    level = "caution" if cell.kind == "load" else "note"
    return [Flag("no_sparse_kernel", level, f"the 2:4 sparse weights run as dense ones: {reason}")]
