"""Tables of where the numbers come from: machine, engines, kernels, checkpoints, data, traffic."""

import json
from typing import Any

from harness.analysis import Findings
from harness.analysis.study import Measured
from harness.analysis.validity import engines
from harness.records.engine_facts import EngineFacts, LoggedScheme
from harness.records.host_facts import Gpu
from harness.records.merging import hardware
from harness.records.placement import Placement
from harness.report.tables.table import Table, Td, name_of, table
from harness.report.words import NONE, size


def engines_table(findings: Findings) -> Table:
    study, rows = findings.study, []
    for name, served in engines(study).items():
        for measured in served:
            engine = measured.engine
            command, log = engine.command_text or NONE, engine.log or NONE
            rows.append([name_of(study, name), engine.label, Td(command, "code"), Td(log, "code")])
    return table("Engines", ["Variant", "Engine", "Server command", "Log"], rows)


def kernels_table(findings: Findings) -> Table:
    """The scheme of the layers that the engine's log names, the kernel of each kind of layer, attention, KV cache."""
    study, rows = findings.study, []
    for name, served in engines(study).items():
        seen = dict.fromkeys(row for measured in served for row in _logged(measured.engine))
        who = name_of(study, name)
        rows += [[who, Td(layers, "code"), Td(ran, "code"), Td(how, _shade(how))] for layers, ran, how in seen]
    heads = ["Variant", "Layers", "Scheme or kernel", "How"]
    return table("Kernels, as logged by the engine", heads, rows, group=0)


def _logged(engine: EngineFacts) -> list[tuple[str, str, str]]:
    """(layers, what ran them, how); older records have kernels alone."""
    found = [(_layers(logged), scheme, "scheme") for scheme, logged in engine.schemes.items()]
    for kernel in engine.kernels:
        how = "emulated" if kernel.emulated else "native"
        how = f"activations: {kernel.activations}" if kernel.activations and not kernel.emulated else how
        found.append((kernel.layer or NONE, kernel.kernel, how))
    if engine.quantization == "none":
        found.append(("all", "unquantized", "native"))
    if not found and engine.kind != "simulated":
        found.append((NONE, "unknown", "not logged"))
    shown = {ran for _, ran, _ in found}
    found += [("attention", name, "backend") for name in engine.attention if name not in shown]
    return found + ([("KV cache", engine.kv_cache_dtype, "dtype")] if engine.kv_cache_dtype else [])


def _layers(logged: LoggedScheme) -> str:
    """``210: model.layers.0-29.mlp.down_proj, ...``"""
    return f"{logged.layers:,}: {', '.join(logged.names)}"


def _shade(how: str) -> str:
    return "warn" if how == "emulated" or how.startswith("activations") else ""


def data_table(findings: Findings) -> Table:
    seen: dict[tuple, None] = {}
    for measured in findings.study.measured:
        if measured.cell.suite and (data := measured.scored.data):
            seen[measured.cell.suite, *map(_text, vars(data).values())] = None
    rows = [[s, source, name, Td(digest, "code"), population] for s, source, name, digest, population in seen]
    return table("Data", ["Suite", "Source", "Name", "Digest or revision", ">Items in the suite"], rows)


def checkpoints_table(findings: Findings) -> Table:
    """What was served, by digest; a variant may have a checkpoint for each suite."""
    seen: dict[tuple, None] = {}
    for measured in findings.study.measured:
        if served := measured.engine.checkpoint:
            who = measured.cell.variant if measured.cell.answered_by_variant else None
            facts = (served.reference, served.revision, served.digest)
            seen[who, *map(_text, facts), size(served.size_bytes), _text(_recipe(measured.inputs))] = None
    rows = [
        [name_of(findings.study, who) if who else "judge", Td(reference, "code"), revision,
         Td(digest, "code"), weight, Td(recipe, "code")]
        for who, reference, revision, digest, weight, recipe in seen
    ]  # fmt: skip
    heads = ["Variant", "Checkpoint", "Revision", "Digest of what was served", ">Weights", "Recipe applied to it"]
    return table("Checkpoints", heads, rows)


def _recipe(inputs: dict[str, Any]) -> dict[str, Any]:
    """Without what the recipe leaves out."""
    weights = inputs.get("weights")
    recipe = weights.get("recipe") if isinstance(weights, dict) else None
    return {key: value for key, value in recipe.items() if value} if isinstance(recipe, dict) else {}


def traffic_table(findings: Findings) -> Table:
    """The text and the seed that the load is drawn from, the same for every variant."""
    seen: dict[tuple, None] = {}
    for measured in findings.study.measured:
        if traffic := measured.traffic:
            seen[measured.cell.scenario, _text(traffic.get("corpus")), _text(measured.inputs.get("seed"))] = None
    rows = [[scenario, Td(corpus, "code"), seed] for scenario, corpus, seed in seen]
    return table("Traffic", ["Scenario", "Digest of its text", ">Seed"], rows)


def host_table(findings: Findings) -> Table:
    study = findings.study
    facts = {"harness": study.harness, "data": study.data, "seed": study.seed, **study.host.to_json()}
    rows = [[key, _text(value)] for key, value in facts.items() if key != "gpus"]
    if study.host.gpus is not None:
        rows += [[f"GPU {i}", _gpu(gpu)] for i, gpu in enumerate(study.host.gpus)] or [["GPUs", "none"]]
    days = sorted(measured.started_at for measured in study.measured if measured.started_at)
    rows += [["measured", f"{days[0]} to {days[-1]}"]] if days else []
    return table("Machine and versions", ["Fact", "Value"], rows)


def places_table(findings: Findings) -> Table:
    """Which machine and GPU measured what, where that is more than one process on one kind of GPU."""
    found: dict[tuple, list[Measured]] = {}
    for measured in findings.study.measured:
        placed = measured.placement or Placement()
        models = " + ".join(hardware(measured.inputs, measured.engine))
        found.setdefault((placed.host, ", ".join(placed.gpus), models), []).append(measured)
    if len(found) < 2:
        return table("Places", [], [])
    rows = []
    for (host, gpus, models), cells in sorted(found.items()):
        beside = sum(bool(measured.placement and measured.placement.neighbours) for measured in cells)
        names = dict.fromkeys(name_of(findings.study, measured.cell.variant).text for measured in cells)
        rows.append([host or NONE, gpus or NONE, models or NONE, ", ".join(names), len(cells), beside])
    heads = ["Machine", "GPU", "Model", "Measured", ">Cells", ">Beside other sessions"]
    return table("Where cells were measured", heads, rows)


def interference_table(findings: Findings) -> Table:
    """What neighbours on the machine change, by its interference test."""
    found = findings.study.interference
    if found is None:
        return table("Interference", [], [])
    rows = [
        [one.neighbours, Td(change.metric, "code"), f"{change.alone:.2f}", change.words]
        for one in found.beside
        for change in one.changes
    ]
    note = (
        f"{found.variant}, {found.sessions} sessions at once, {found.rounds} rounds in turn, {found.measured_at}. "
        f"Nothing may change by more than 1 %, interval included: executor.colocate=auto is {found.colocate} here."
    )
    return table("Interference between sessions", ["Neighbours", "Figure", ">Alone", ">Change"], rows, note)


def _gpu(gpu: Gpu) -> str:
    """``NVIDIA H100 80GB HBM3, 79.6 GiB, compute capability 9.0, driver 550.54``"""
    parts = [_text(gpu.name)]
    parts += [f"{gpu.memory_gib:.1f} GiB"] if gpu.memory_gib is not None else []
    parts += [f"compute capability {gpu.compute_capability}"] if gpu.compute_capability else []
    parts += [f"driver {gpu.driver}"] if gpu.driver else []
    if gpu.power_limit_w:
        shipped = gpu.default_power_limit_w
        of = f" (shipped with {shipped:g} W)" if shipped and shipped != gpu.power_limit_w else ""
        parts.append(f"power limit {gpu.power_limit_w:g} W{of}")
    if gpu.persistence_mode is not None:
        parts.append(f"persistence mode {'on' if gpu.persistence_mode else 'off'}")
    if gpu.clocks_locked is not None:
        parts.append(f"application clocks {'set' if gpu.clocks_locked else 'as shipped'}")
    parts += [f"MIG mode, {gpu.mig_instances} instances"] if gpu.mig_instances is not None else []
    return ", ".join(parts)


def _text(value: Any) -> str:
    if value in (None, "", [], {}):
        return NONE
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, dict | list) else str(value)
