"""Tables of the GEMM study: the variants at a glance, each batch size, each layer."""

from collections.abc import Iterable
from math import exp, log

from harness.analysis import Findings
from harness.analysis.speed.gemm import Gemm, Product, Whole
from harness.analysis.statistics.intervals import Estimate
from harness.report.tables.table import Table, Td, name_of, table
from harness.report.words import NONE, number, percent, times

WRONG = "wrong product"


def gemm_table(findings: Findings) -> Table:
    """Empty for a study that timed no products."""
    found, study, rows = findings.gemm, findings.study, []
    if found is None:
        return table("GEMM of the linear layers", ["Variant"], [])
    for name, v in study.variants.items():
        if (wholes := found.wholes.get(name)) is None:
            what = Td(v.weights or NONE, note=f"activations {v.activations}")
            rows.append([name_of(study, name), what, Td("not measured", "muted"), *[Td(NONE, "muted")] * 5])
            continue
        mine = [product for (variant, _, _), product in found.products.items() if variant == name]
        theirs = [product for (variant, _, _), product in found.vendors.items() if variant == name]
        batch, most = found.highest.get(name, (None, None))
        shares = [w.of_vendor for w in wholes.values() if w.of_vendor and w.valid]
        scheme = "; ".join(filter(None, (f"activations {v.activations}", v.sparsity)))
        rows.append(
            [
                name_of(study, name),
                Td(v.weights or NONE, note=scheme),
                Td(_names(product.kernel for product in mine), note="; ".join(found.absent.get(name, ()))),
                _gain(found, name, study.baseline),
                Td(times(most), "" if most else "muted", f"at batch size {batch:,}" if batch else ""),
                Td(percent(_geometric(shares)), note=f"lowest {100 * min(shares):.0f} %" if shares else ""),
                Td(_names(product.kernel for product in theirs) or NONE),
                _error(mine),
            ]
        )
    heads = ["Variant", "Scheme", "Kernel of the engine", ">Speed-up", ">Highest", ">Of the vendor's library"]
    note = (
        "The layer's products together (qkv, o, gate and up, down), operands quantized beforehand. Speed-up: the "
        "baseline's time / this one's, geometric mean over batch sizes. Of the vendor's library: its time / the "
        "engine's, so 100 % is as fast. Error: of sampled answers against float64, beside what rounding explains."
    )
    return table("GEMM of the linear layers", [*heads, "Vendor's kernel", ">Largest error"], rows, note)


def _gain(found: Gemm, name: str, baseline: str) -> Td:
    if name == baseline:
        return Td("1", "muted", "baseline")
    if any(not whole.valid for whole in found.wholes[name].values()):
        return Td(times(found.means.get(name)), "bad", WRONG)
    if name not in found.means:
        return Td(NONE, "muted")
    count = found.counts[name]
    note = "" if count == len(found.batches) else f"over {count} of {len(found.batches)} batch sizes"
    return Td(times(found.means[name]), note=note)


def _names(kernels: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(kernels))


def _geometric(values: list[float]) -> Estimate | None:
    return Estimate(exp(sum(map(log, values)) / len(values))) if values else None


def _error(products: list[Product]) -> Td:
    known = [(product.error, product) for product in products if product.error is not None]
    if len(known) < len(products):
        return Td("not finite", "bad", WRONG)
    error, worst = max(known, key=lambda pair: pair[0] / pair[1].bound)
    return Td(f"{error:.1e}", "" if worst.valid else "bad", f"bound {worst.bound:.1e}")


def batches_table(findings: Findings) -> Table:
    """The data behind the figures: a whole layer by batch size; empty for a study that timed no products."""
    found, study, rows = findings.gemm, findings.study, []
    if found is None:
        return table("A layer by batch size", ["Batch size"], [])
    for batch in found.batches:
        for name, wholes in found.wholes.items():
            if whole := wholes.get(batch):
                tone = "" if whole.valid else "bad"
                rows.append(
                    [
                        f"batch size {batch:,}",
                        name_of(study, name, "" if whole.valid else WRONG),
                        Td("1", "muted") if name == study.baseline else Td(times(whole.speedup), tone),
                        *_rates(whole),
                        *(Td(NONE if s is None else f"{100 * s:.0f} %") for s in (whole.of_vendor, whole.of_roof)),
                    ]
                )
    heads = ["Batch size", "Variant", ">Speed-up", ">Time, µs", ">TFLOP/s", ">GB/s"]
    note = _roof_note(found)
    return table("A layer by batch size", [*heads, ">Of the vendor's library", ">Of the roofline"], rows, note, group=0)


def _rates(found: Whole | Product) -> list[str]:
    seconds = found.seconds
    return [number(1e6 * seconds), number(found.flops / seconds / 1e12), number(found.bytes / seconds / 1e9)]


def _roof_note(found: Gemm) -> str:
    roofs = {(roof.name, roof.source, roof.bandwidth) for roof in found.roofs.values()}
    if not roofs:
        return "No roofline: the data sheet of this device is not known."
    said = "; ".join(f"{name}, {source}: {number(rate / 1e9)} GB/s" for name, source, rate in sorted(roofs))
    peaks = "; ".join(f"{n} {number(r.peak / 1e12)} TFLOP/s" for n, r in found.roofs.items() if r.peak)
    lacking = [name for name, roof in found.roofs.items() if not roof.peak]
    absent = f"; peak not known for {', '.join(lacking)}" if lacking else ""
    return f"Roofline of {said}; peaks: {peaks or 'none known'}{absent}. TFLOP/s of 2:4 count the dense product."


def layers_table(findings: Findings) -> Table:
    """A row for each product; empty for a study that timed none."""
    found, study, rows = findings.gemm, findings.study, []
    if found is None:
        return table("Every product", ["Layer"], [])
    for layer, shape in found.layers.items():
        for batch in found.batches:
            for name in found.wholes:
                if product := found.products.get((name, layer, batch)):
                    vendor = found.vendors.get((name, layer, batch))
                    low, high = (number(1e6 * end(product.times)) for end in (min, max))
                    error = NONE if product.error is None else f"{product.error:.1e}"
                    time, *rates = _rates(product)
                    rows.append(
                        [
                            f"{layer}: {shape.n:,} outputs, {shape.k:,} inputs, {shape.count} in the model",
                            f"{batch:,}",
                            name_of(study, name),
                            Td(time, note=f"{low} to {high}"),
                            *rates,
                            Td(number(1e6 * vendor.seconds) if vendor else NONE, note=vendor.kernel if vendor else ""),
                            Td(error, "" if product.valid else "bad"),
                            product.clock,
                        ]
                    )
    heads = ["Layer", ">Batch size", "Variant", ">Time, µs", ">TFLOP/s", ">GB/s", ">Vendor's, µs", ">Error", "Clock"]
    return table("Every product", heads, rows, "Time: median over rounds, smallest to largest beneath.", group=0)
