"""What differs between two variants besides their numbers: engine, kernels, checkpoint, machine, data, settings.

The source is what each cell was fingerprinted by (`inputs`: everything that can change its result, and nothing else)
and the engine's, the checkpoint's and the machine's own facts.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from harness.analysis.study import Measured, Study
from harness.records.engine_facts import ServedCheckpoint
from harness.records.manifest import Variant

NOT_A_DIFFERENCE = {"variant", "point", "answers", "reference", "scenario.name"}
SHOWN = 6  # distinct values of one fact


@dataclass(frozen=True)
class Difference:
    """`a` and `b` are None where that side does not have the fact at all."""

    what: str
    a: str | None
    b: str | None


def differences(
    a: tuple[Variant, Study, list[Measured]], b: tuple[Variant, Study, list[Measured]]
) -> tuple[Difference, ...]:
    """Compare two sides, each (variant, its study, its measured cells); what matters most comes first."""
    both = _subjects(a[2]) & _subjects(b[2])
    left, right = _facts(*a, both), _facts(*b, both)
    names = [*left, *(name for name in right if name not in left)]
    found = [Difference(name, left.get(name), right.get(name)) for name in names if left.get(name) != right.get(name)]
    return tuple(sorted(found, key=lambda d: _rank(d.what)))


def _rank(what: str) -> int:
    order = ("engine", "kernels", "checkpoint", "scheme", "hardware", "data", "harness")
    return next((position for position, word in enumerate(order) if what.startswith(word)), len(order))


def _subjects(measured: list[Measured]) -> set[str]:
    return {m.cell.subject for m in measured}


def _facts(variant: Variant, study: Study, measured: list[Measured], subjects: set[str]) -> dict[str, str]:
    """By name; of the suites and scenarios in `subjects` only, as what one side lacks is said elsewhere."""
    seen: dict[str, dict[str, None]] = {}

    def add(name: str, value: Any) -> None:
        if value not in (None, "", [], {}):
            seen.setdefault(name, {})[_text(value)] = None

    add("scheme weights", variant.weights)
    add("scheme activations", variant.activations)
    add("scheme sparsity", variant.sparsity or "none")
    for name, value in _flat(study.host.to_json()):
        add(f"hardware {name}", value)
    for cell in measured:
        if cell.cell.answered_by_variant and cell.cell.subject in subjects:
            _cell_facts(cell, add)
    return {name: _joined(list(values)) for name, values in seen.items()}


def _cell_facts(measured: Measured, add: Callable[[str, Any], None]) -> None:
    engine, subject = measured.engine, measured.cell.subject
    add("engine", engine.label)
    for kernel in engine.kernels:
        state = " (emulated)" if kernel.emulated else ""
        add("kernels", f"{kernel.layer}: {kernel.kernel}{state}" if kernel.layer else f"{kernel.kernel}{state}")
    for scheme, logged in engine.schemes.items():
        add("kernels by layer", f"{scheme}: {logged.layers} layers")
    add("kernels of attention", list(engine.attention))
    add("kernels of the KV cache", engine.kv_cache_dtype)
    checkpoint = engine.checkpoint or ServedCheckpoint()
    for name in ("reference", "revision", "digest", "size_bytes"):
        add(f"checkpoint {name}", getattr(checkpoint, name))
    if measured.cell.suite and (data := measured.scored.data):
        for name, value in vars(data).items():
            add(f"data of {subject}: {name}", value)
    add("harness", measured.harness)
    add("checkpoint made by", measured.inputs.get("weights"))
    for name, value in _flat(measured.inputs):
        section = name.split(".")[0]
        if name in NOT_A_DIFFERENCE or section in NOT_A_DIFFERENCE or section == "host":
            continue
        if section in ("suite", "scenario", "search", "limits"):
            add(f"{subject}: {name.partition('.')[2] or name}", value)
        elif section != "weights" and name not in ("engine.version", "engine.kind"):
            add(name.replace(".", " "), value)


def _flat(facts: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in facts.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, list | dict) else str(value)


def _joined(values: list[str]) -> str:
    values = sorted(values)
    more = f" and {len(values) - SHOWN} more" if len(values) > SHOWN else ""
    return ", ".join(values[:SHOWN]) + more
