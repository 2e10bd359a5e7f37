"""Stores of one sweep from several machines as one: which cells it has, and what contradicts itself. Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.errors import ConfigError
from harness.records.cell import Cell
from harness.records.engine_facts import EngineFacts
from harness.records.manifest import Manifest
from harness.records.record import Record

PARTS = ("variants", "suites", "scenarios")  # of the configuration, in which the stores may differ


@dataclass(frozen=True)
class Copy:
    """A cell as one of the stores has it. `digest`: of its record, which holds those of its rows."""

    store: str
    record: Record
    digest: str


@dataclass(frozen=True)
class Conflict:
    """Different measurements of one cell."""

    key: str
    copies: tuple[Copy, ...]

    def __str__(self) -> str:
        fingerprints = {copy.record.fingerprint for copy in self.copies}
        why = "the same fingerprint, different content" if len(fingerprints) == 1 else "different fingerprints"
        told = ", ".join(f"{copy.store} (measured {copy.record.started_at})" for copy in self.copies)
        return f"{self.key}: {why}: {told}"


def chosen(copies: Sequence[Copy], prefer: str | None) -> tuple[list[Copy], list[Conflict]]:
    """Return a copy of each cell, and the conflicts that `prefer`, a store, does not decide."""
    by_key: dict[str, list[Copy]] = {}
    for copy in copies:
        by_key.setdefault(copy.record.cell.key, []).append(copy)
    kept, conflicts = list[Copy](), list[Conflict]()
    for key, found in by_key.items():
        different = tuple({copy.digest: copy for copy in reversed(found)}.values())
        preferred = [copy for copy in different if copy.store == prefer]
        if len(different) == 1 or preferred:
            kept.append(preferred[0] if preferred else found[0])
        else:
            conflicts.append(Conflict(key, different[::-1]))
    return kept, conflicts


def merged(manifests: Mapping[str, Manifest], measured: Callable[[Cell], bool]) -> Manifest:
    """Return the manifest of all, `measured(cell)` first where they plan a cell differently.

    Raises ConfigError for stores that are not of one study: a variant, scenario or setting with two meanings.
    """
    first_name, first = next(iter(manifests.items()))
    cells: dict[str, Cell] = {}
    variants, scenarios = dict(first.variants), dict(first.scenarios)
    for name, manifest in manifests.items():
        for what in ("name", "baseline", "margin", "seed", "data"):
            _same(f"its {what}", getattr(first, what), getattr(manifest, what), first_name, name)
        for variant in manifest.variants.values():
            _same(f"variant {variant.name}", variants.setdefault(variant.name, variant), variant, first_name, name)
        for scenario in manifest.scenarios.values():
            _same(
                f"scenario {scenario.name}", scenarios.setdefault(scenario.name, scenario), scenario, first_name, name
            )
        for cell in manifest.cells:
            if cell.key not in cells or (measured(cell) and not measured(cells[cell.key])):
                cells[cell.key] = cell
    suites = dict.fromkeys(suite for manifest in manifests.values() for suite in manifest.suites)
    left_out = {entry for manifest in manifests.values() for entry in manifest.left_out}
    planned = {cell.variant for cell in cells.values()}
    return replace(
        first,
        variants=variants,
        scenarios=scenarios,
        suites=tuple(suites),
        cells=tuple(cells.values()),
        config=first.config | {part: _union(part, manifests.values()) for part in PARTS if part in first.config},
        left_out=tuple(entry for entry in left_out if entry.variant not in planned),
        revisions={key: value for one in manifests.values() for key, value in one.revisions.items()},
        command="; ".join(dict.fromkeys(manifest.command for manifest in manifests.values())),
    )


def _union(part: str, manifests: Iterable[Manifest]) -> dict[str, Any]:
    return {name: value for manifest in manifests for name, value in (manifest.config.get(part) or {}).items()}


def hardware(inputs: Mapping[str, Any], engine: EngineFacts) -> tuple[str, ...]:
    """Return the models of the GPUs that a cell's server used, or the CPU's; empty where someone else runs it."""
    host: Any = inputs.get("host") or {}
    cpu = [str(host.get("cpu"))] if engine.device == "cpu" else []
    return tuple(dict.fromkeys(host.get("gpus") or cpu))


def _same(what: str, one: Any, other: Any, first: str, second: str) -> None:
    if one != other:
        raise ConfigError(f"{what} differs between {first} and {second}: they are not stores of one study")
