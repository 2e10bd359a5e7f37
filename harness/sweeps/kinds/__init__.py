"""Kinds of cells. A kind is one module with one class, and one line in KINDS."""

from harness.sweeps.kinds.accuracy import Accuracy
from harness.sweeps.kinds.contract import CellKind, ServedKind
from harness.sweeps.kinds.gemm import Gemm
from harness.sweeps.kinds.judge import Judge
from harness.sweeps.kinds.load import Load
from harness.sweeps.session import GEMM, JUDGE, VARIANT

SERVED: dict[str, ServedKind] = {"load": Load(), "accuracy": Accuracy(), "judge": Judge()}
KINDS: dict[str, CellKind] = {**SERVED, "gemm": Gemm()}

# The kinds that a session measures, in order. Load cells come first: they need the engine as it started, and they are
# the shorter wait for a first look.
MEASURED_IN = {VARIANT: ("load", "accuracy"), JUDGE: ("judge",), GEMM: ("gemm",)}
