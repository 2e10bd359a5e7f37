"""The GEMM study: how fast a layer's products are, against the baseline's, the vendor's library and the roofline.

A layer's time is the sum over its products (qkv, o, gate and up, down), each by its median over the rounds: every layer
of a model has the same ones, so ratios are those of the model. All formats were timed in turn, so a ratio is taken
within a round, baseline / own, and its interval is that of the median over rounds (intervals.median_interval).

Roofline (Williams, Waterman, Patterson, CACM 52(4), 2009): a product with f FLOP that moves b bytes takes at least
max(f / peak, b / bandwidth). Operands and answer count once each; 2:4 counts the FLOP of the dense product.
"""

from dataclasses import dataclass
from statistics import median

import numpy as np

from harness.analysis.statistics.intervals import Estimate, median_interval
from harness.analysis.study import Study
from harness.records.gemm_result import Absence, GemmResult, ProductRow


@dataclass(frozen=True)
class Product:
    """One kernel of one layer at one batch size; seconds, FLOP and bytes of one call."""

    layer: str
    batch: int
    kernel: str
    times: tuple[float, ...]
    baseline_times: tuple[float, ...]
    flops: float
    bytes: float
    error: float | None
    bound: float
    clock: str
    valid: bool

    @property
    def seconds(self) -> float:
        return median(self.times)


Products = dict[tuple[str, str, int], Product]  # by (variant, layer, batch)


@dataclass(frozen=True)
class Roof:
    """`peak` FLOP/s of the variant's format; None where it is not known."""

    name: str
    source: str
    bandwidth: float
    peak: float | None

    def attainable(self, intensity: float) -> float | None:
        """FLOP/s at `intensity` FLOP/byte."""
        return None if self.peak is None else min(self.peak, self.bandwidth * intensity)


@dataclass(frozen=True)
class Whole:
    """All products of a layer at one batch size. Not `valid`: the answer of one of them is wrong."""

    batch: int
    seconds: float
    flops: float
    bytes: float
    speedup: Estimate | None  # over the baseline
    of_vendor: float | None  # the vendor's time / this: 1 is as fast as the vendor's library, above 1 faster
    of_roof: float | None  # share of what the roofline allows
    valid: bool

    @property
    def intensity(self) -> float:
        return self.flops / self.bytes


@dataclass(frozen=True)
class Layer:
    """Outputs and inputs of one GPU's share, and how often the model has it."""

    n: int
    k: int
    count: int


@dataclass(frozen=True)
class Gemm:
    """By variant, and by batch size upwards."""

    layers: dict[str, Layer]
    batches: tuple[int, ...]
    products: Products  # the engine's kernel
    vendors: Products  # the fastest of the vendor's that answers rightly
    wholes: dict[str, dict[int, Whole]]
    roofs: dict[str, Roof]
    means: dict[str, Estimate]  # of the speed-ups, geometric over `counts` batch sizes
    counts: dict[str, int]
    highest: dict[str, tuple[int, Estimate]]  # the batch size with the largest speed-up
    absent: dict[str, tuple[str, ...]]  # kernels that are not here, and why


def gemm(study: Study) -> Gemm | None:
    """None for a study without GEMM cells."""
    cells = [m for m in study.measured if m.cell.layer]
    if not cells:
        return None
    products: Products = {}
    vendors: Products = {}
    layers: dict[str, Layer] = {}
    roofs: dict[str, Roof] = {}
    absent: dict[str, list[Absence]] = {}
    for m in cells:
        result = m.result
        if not isinstance(result, GemmResult):
            continue
        layers[result.layer] = Layer(result.n, result.k, result.count)
        absent.setdefault(m.cell.variant, []).extend(result.absent)
        if roof := _roof(result):
            roofs[m.cell.variant] = roof
        for row in map(ProductRow.from_json, m.load_rows()):
            product = _product(result.layer, row)
            key = (m.cell.variant, product.layer, product.batch)
            if row.role == "engine":
                products[key] = product
            elif product.valid and (key not in vendors or product.seconds < vendors[key].seconds):
                vendors[key] = product
    batches = tuple(sorted({batch for _, _, batch in products}))
    names = [name for name in study.variants if any(key[0] == name for key in products)]
    wholes: dict[str, dict[int, Whole]] = {}
    for name in names:
        found = {b: _whole(name, name == study.baseline, list(layers), b, products, vendors, roofs) for b in batches}
        wholes[name] = {batch: whole for batch, whole in found.items() if whole}
    ratios = {name: {b: w.speedup for b, w in wholes[name].items() if w.speedup and w.valid} for name in names}
    return Gemm(
        layers,
        batches,
        products,
        vendors,
        wholes,
        roofs,
        means={name: _mean(list(found.values())) for name, found in ratios.items() if found},
        counts={name: len(found) for name, found in ratios.items()},
        highest={name: max(found.items(), key=lambda e: e[1].value) for name, found in ratios.items() if found},
        absent={name: _absences(entries) for name, entries in absent.items()},
    )


def _product(layer: str, row: ProductRow) -> Product:
    return Product(
        layer=layer,
        batch=row.batch,
        kernel=row.kernel + (f" ({row.note})" if row.note else ""),
        times=row.times_s,
        baseline_times=row.baseline_times_s,
        flops=row.flops,
        bytes=row.bytes,
        error=row.error,
        bound=row.bound,
        clock=row.clock,
        valid=row.error is not None and row.error <= row.bound,
    )


def _absences(entries: list[Absence]) -> tuple[str, ...]:
    """One a kernel; of one that is absent at some batch sizes only, the smallest of them with its reason."""
    found: dict[str, list[Absence]] = {}
    for entry in entries:
        found.setdefault(entry.kernel, []).append(entry)
    said = []
    for kernel, each in found.items():
        first = min(each, key=lambda entry: entry.batch or 0)
        sizes = sorted({entry.batch for entry in each if entry.batch is not None})
        places = f" at batch size {sizes[0]:,}" + (f" to {sizes[-1]:,}" if len(sizes) > 1 else "") if sizes else ""
        said.append(f"{kernel}{places}: {first.reason}")
    return tuple(said)


def _roof(result: GemmResult) -> Roof | None:
    known = result.roofline
    return Roof(known.name, known.source, known.bandwidth, known.peak.get(result.format)) if known else None


def _whole(
    name: str,
    baseline: bool,
    layers: list[str],
    batch: int,
    products: Products,
    vendors: Products,
    roofs: dict[str, Roof],
) -> Whole | None:
    parts = _of_layers(products, name, layers, batch)
    if parts is None:
        return None
    seconds, valid = sum(part.seconds for part in parts), all(part.valid for part in parts)
    theirs = _of_layers(vendors, name, layers, batch)
    roof = roofs.get(name)
    least = [_least_seconds(part, roof.peak, roof.bandwidth) for part in parts] if roof and roof.peak else []
    return Whole(
        batch,
        seconds,
        sum(part.flops for part in parts),
        sum(part.bytes for part in parts),
        speedup=None if baseline else _speedup(parts),
        of_vendor=None if theirs is None else sum(part.seconds for part in theirs) / seconds,
        of_roof=sum(least) / seconds if least else None,
        valid=valid,
    )


def _of_layers(products: Products, name: str, layers: list[str], batch: int) -> list[Product] | None:
    """One product for each layer; None where one is lacking."""
    found = [products[key] for layer in layers if (key := (name, layer, batch)) in products]
    return found if len(found) == len(layers) else None


def _least_seconds(part: Product, peak: float, bandwidth: float) -> float:
    return max(part.flops / peak, part.bytes / bandwidth)


def _speedup(parts: list[Product]) -> Estimate | None:
    """Median over rounds of (sum of the baseline's products / sum of ours); products of one round belong together."""
    rounds = min(min(len(part.times), len(part.baseline_times)) for part in parts)
    if not rounds:
        return None
    ours, base = (np.sum([series(part)[:rounds] for part in parts], axis=0) for series in (_times, _baseline))
    return median_interval([float(ratio) for ratio in base / ours])


def _times(part: Product) -> tuple[float, ...]:
    return part.times


def _baseline(part: Product) -> tuple[float, ...]:
    return part.baseline_times


def _mean(found: list[Estimate]) -> Estimate:
    """Geometric; each with equal weight. The interval is of ratios that err together, the widest that it can be."""
    sides = []
    for side in ("low", "high"):
        bounds = [getattr(estimate, side) for estimate in found]
        sides.append(None if None in bounds else float(np.exp(np.mean(np.log(bounds)))))
    return Estimate(float(np.exp(np.mean(np.log([e.value for e in found])))), *sides)
