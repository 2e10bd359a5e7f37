"""Kinds of cells. A kind is one module with one class, and one line in KINDS."""

from harness.sweeps.kinds.accuracy import Accuracy
from harness.sweeps.kinds.contract import CellKind, ServedKind
from harness.sweeps.kinds.gemm import Gemm
from harness.sweeps.kinds.judge import Judge
from harness.sweeps.kinds.load import Load

# In the order in which a session measures them: load cells first, as they need the engine as it started, and they are
# the shorter wait for a first look.
SERVED: dict[str, ServedKind] = {"load": Load(), "accuracy": Accuracy(), "judge": Judge()}
KINDS: dict[str, CellKind] = {**SERVED, "gemm": Gemm()}


def measured_in(session: str) -> list[str]:
    """Return the kinds of cells that a session of this kind measures, in order."""
    return [name for name, kind in KINDS.items() if kind.session == session]
