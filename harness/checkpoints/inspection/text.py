"""An inspection for a reader: text, and the same as plain data."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import TypedDict

from harness.checkpoints.inspection.inspection import Inspection
from harness.checkpoints.inspection.layer import Layer
from harness.checkpoints.inspection.problems import Fault
from harness.checkpoints.inspection.values import Measured
from harness.config.schemes import weight_words, words

HEAD = ("layer type", "layers", "weights", "bits/weight", "zeros", "2:4", "scales")


def by_kind(inspection: Inspection) -> dict[tuple[str, str], list[Layer]]:
    """Layers of one type and one format together, in the file's order."""
    found: dict[tuple[str, str], list[Layer]] = {}
    for layer in inspection.layers:
        found.setdefault((layer.kind, weight_words(layer.format)), []).append(layer)
    return dict(sorted(found.items(), key=lambda entry: -sum(layer.count for layer in entry[1])))


def rows(inspection: Inspection) -> list[tuple[str, ...]]:
    return [_row(kind, format, layers) for (kind, format), layers in by_kind(inspection).items()]


def _row(kind: str, format: str, layers: list[Layer]) -> tuple[str, ...]:
    measured = sum((layer.measured for layer in layers), Measured())
    shapes = sorted({str(list(layer.scale.shape)) for layer in layers if layer.scale})
    dtypes = sorted({layer.scale.dtype for layer in layers if layer.scale})
    weights = sum(layer.count for layer in layers)
    return (
        *(
            kind,
            str(len(layers)),
            format,
            f"{sum(layer.bytes for layer in layers) * 8 / weights:.2f}" if weights else "",
        ),
        f"{measured.zeros / measured.values:.1%}" if measured.values else "not read",
        _sparse(layers, measured),
        f"{'/'.join(dtypes)} {' '.join(shapes[:2])}{' ...' if len(shapes) > 2 else ''}" if shapes else "",
    )


def _sparse(layers: list[Layer], measured: Measured) -> str:
    if all(layer.layout == "marlin_24" for layer in layers):
        return "by format"
    return f"{measured.sparse_groups / measured.groups:.1%}" if measured.groups else ""


def claimed(inspection: Inspection) -> str:
    claims = inspection.claims
    if claims.method is None:
        return "no quantization_config"
    parts = []
    for targets, claim in claims.groups:
        activations = f", activations {words(claim.activations)}" if claim.activations else ""
        parts.append(f"{', '.join(targets)}: weights {weight_words(claim.weights)}{activations}")
    if claims.ignore:
        parts.append(f"ignore: {', '.join(claims.ignore[:4])}{' ...' if len(claims.ignore) > 4 else ''}")
    if claims.sparsity:
        parts.append(f"sparsity {claims.sparsity} ({claims.sparsity_format or 'no format'})")
    if claims.kv_cache:
        parts.append(f"KV cache {words(claims.kv_cache)}")
    if not claims.known:
        parts.append("a method whose claims this version cannot check")
    return f"{claims.method}; " + "; ".join(parts)


def render(inspection: Inspection, faults: list[Fault]) -> str:
    """`faults`: the inspection's own, and those against a variant where one was named."""
    weights = sum(layer.count for layer in inspection.layers)
    held = sum(layer.bytes for layer in inspection.layers)
    size = f"{inspection.bytes / 1e9:.2f} GB" if inspection.bytes >= 1e9 else f"{inspection.bytes / 1e6:.1f} MB"
    seen = "all" if inspection.exact else f"{inspection.looked_at:.1%}"
    lines = [
        f"{inspection.place}: {inspection.architecture}, {size} in {inspection.files} file(s), "
        f"{weights / 1e6:,.0f} M weights, {held * 8 / weights if weights else 0:.2f} bits a weight with scales",
        f"claims: {claimed(inspection)}",
        f"looked at: headers, scales, and {seen} of the weights",
        "",
        *_table([HEAD, *rows(inspection)]),
        "",
    ]
    left = sorted({layer.kind for layer in inspection.layers if not layer.quantized})
    if any(layer.quantized for layer in inspection.layers):
        lines.append(f"left unquantized: {', '.join(left) or 'nothing'}")
    wrong = [fault for fault in faults if fault.level != "unchecked"]
    lines += ["", *(f"{fault.level}: {fault}" for fault in wrong)] if wrong else ["nothing contradicts what it claims"]
    lines += [f"not checked: {fault}" for fault in _unchecked(inspection, faults)]
    return "\n".join(lines)


def _unchecked(inspection: Inspection, faults: list[Fault]) -> list[Fault]:
    """The inspection's own, and those against a variant."""
    return list(dict.fromkeys([*inspection.unchecked, *(fault for fault in faults if fault.level == "unchecked")]))


def _table(cells: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in cells) for column in range(len(HEAD))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def as_data(inspection: Inspection, faults: list[Fault]) -> dict[str, object]:
    """JSON-able: totals, one entry a layer type, the faults."""
    return {
        "checkpoint": inspection.place,
        "architecture": inspection.architecture,
        "bytes": inspection.bytes,
        "files": inspection.files,
        "claims": claimed(inspection),
        "exact": inspection.exact,
        "looked_at": inspection.looked_at,
        "layers": [
            {
                **{"type": kind, "layers": len(layers), "weights": format},
                **asdict(sum((layer.measured for layer in layers), Measured())),
                "bits_per_weight": sum(n.bytes for n in layers) * 8 / max(1, sum(n.count for n in layers)),
            }
            for (kind, format), layers in by_kind(inspection).items()
        ],
        "faults": [_fault(fault) for fault in faults if fault.level != "unchecked"],
        "not_checked": [_fault(fault) for fault in _unchecked(inspection, faults)],
    }


def _fault(fault: Fault) -> Mapping[str, object]:
    return {**asdict(fault), "where": list(fault.where)}


class Holds(TypedDict):
    """What the linear layers of a checkpoint hold, lm_head aside; None where nothing was read."""

    weights: str | None  # the format of most of them, in words
    bits_per_weight: float | None
    zeros: float | None  # share of the values
    sparse24: bool
    exact: bool  # every weight was looked at


def holds(inspection: Inspection) -> Holds:
    """A few facts for the record of a cell."""
    inner = [layer for layer in inspection.linear if layer.kind != "lm_head"]
    formats = {weight_words(layer.format): 0 for layer in inner}
    for layer in inner:
        formats[weight_words(layer.format)] += layer.count
    measured = sum((layer.measured for layer in inner), Measured())
    weights = sum(layer.count for layer in inner)
    return {
        "weights": max(formats, key=lambda words: formats[words]) if formats else None,
        "bits_per_weight": round(sum(layer.bytes for layer in inner) * 8 / weights, 3) if weights else None,
        "zeros": round(measured.zeros / measured.values, 4) if measured.values else None,
        "sparse24": inspection.sparse24,
        "exact": inspection.exact,
    }
