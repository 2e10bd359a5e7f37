"""`result` of a gemm cell and its rows (harness/gemm): one layer's product, by batch size and kernel."""

from dataclasses import dataclass

from harness.records.fields import Stored, optional


@dataclass(frozen=True)
class Roofline(Stored):
    name: str
    source: str
    bandwidth: float  # bytes/s
    peak: dict[str, float]  # {number format: FLOP/s}


@dataclass(frozen=True)
class Absence(Stored):
    """A kernel that is not here; `batch`: at that batch size alone."""

    kernel: str
    reason: str
    batch: int | None = optional()


@dataclass(frozen=True)
class GemmResult(Stored):
    layer: str
    n: int  # outputs of one GPU's share
    k: int  # and its inputs
    count: int  # in the model
    format: str = ""  # the variant's number format
    against: str | None = optional()  # the baseline's
    tensor_parallel: int | None = optional()
    kernel: str | None = optional()  # the engine's
    absent: tuple[Absence, ...] = ()
    roofline: Roofline | None = None


@dataclass(frozen=True, kw_only=True)
class ProductRow(Stored):
    """One kernel at one batch size."""

    batch: int
    kernel: str
    role: str  # engine | vendor
    note: str | None = None
    times_s: tuple[float, ...] = ()  # seconds of a call, of each round
    calls: int = 0  # of a round; 0: not recorded
    clock: str
    copies: int = 0  # of the weights; 0: not recorded
    error: float | None = None  # relative, of the float64 product; None: not finite
    bound: float  # of the error, by what rounding explains
    flops: float  # of a call
    bytes: float
    baseline_times_s: tuple[float, ...] = ()  # of the baseline's kernel, in the same rounds
