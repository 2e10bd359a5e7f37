"""One worker process in the engine's environment, and what it says as outcomes of cells."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.config.schema import Config
from harness.engines import Engine
from harness.engines.process import ServerProcess, log_tail
from harness.errors import CellError, EngineError
from harness.gemm.formats import flops, format_of, moved_bytes
from harness.gemm.hardware import data_sheet
from harness.gemm.shapes import Layer
from harness.records import Outcome
from harness.records.engine_facts import EngineFacts
from harness.records.flag import Flag
from harness.records.gemm_result import GemmResult

SEED = 0
START_S, GRACE_S = 300.0, 5.0
KERNELS_AT_MOST = 16  # that are timed side by side: bounds the silence between two lines of a worker


@dataclass
class Measured:
    """What the worker said of one layer, and how long it took."""

    layer: str
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    seconds: float = 0.0
    rows: list[dict[str, Any]] = field(default_factory=list)
    absent: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[dict[str, Any]] = field(default_factory=list)


class Worker:
    """`facts` of the machine and the versions, once it has started."""

    def __init__(self, config: Config, engine: Engine, layers: list[Layer], formats: dict[str, list[str]], log: Path):
        """`formats`: of each layer that is to be measured, the baseline's first."""
        if engine.gemm is None:
            raise EngineError(f"engine {engine.kind} has no Python whose kernels could be timed")
        self.config, self.gemm, self.log = config, engine.gemm, log
        self.facts: dict[str, Any] = {}
        settings = config.gemm
        self.spec = {
            "device": config.engine.device,
            "layers": [asdict(layer) | {"formats": formats[layer.name]} for layer in layers if layer.name in formats],
            "batch_sizes": sorted(set(settings.batch_sizes)),
            "repeats": settings.repeats,
            "min_time_s": settings.min_time_ms / 1e3,
            "max_point_s": settings.max_point_s,
            "seed": SEED,
        }

    def measure(self, advance: Callable[[int, int], None]) -> Iterator[Measured]:
        """Each layer when all of it is measured. Raises EngineError when the worker dies or falls silent."""
        file = self.log.with_suffix(".spec.json")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(self.spec))
        command, env = self.gemm.command(file)
        silence = START_S + KERNELS_AT_MOST * 2 * self.config.gemm.max_point_s
        left = [layer["name"] for layer in self.spec["layers"]]
        process = ServerProcess(command, env, self.log, GRACE_S, talks=True)
        try:
            current = Measured(left[0])
            for line in process.lines(silence):
                said = json.loads(line)
                event = said.pop("event")
                if event == "facts":
                    self.facts = said | {"command": command}
                    current = Measured(left[0])  # its time does not count the worker's start
                elif event == "progress":
                    advance(said["done"], said["total"])
                elif event == "layer":
                    current.seconds = (datetime.now(UTC) - current.started_at).total_seconds()
                    yield current
                    left.remove(current.layer)
                    current = Measured(left[0]) if left else current
                else:
                    {"row": current.rows, "absent": current.absent, "skipped": current.skipped}[event].append(said)
        except TimeoutError:
            raise EngineError(f"the GEMM worker said nothing for {silence:.0f} s while measuring {left[0]}") from None
        finally:
            process.stop()
        if left:
            raise EngineError(
                f"the GEMM worker died while measuring {left[0]}, exit code {process.exit_code()}; "
                f"the end of its log:\n"
                f"{log_tail(self.log)}\n  the whole log: {self.log}"
            )

    def engine_facts(self, kernel: str) -> EngineFacts:
        """As every record has them."""
        versions = {name: found for name, found in (self.facts.get("versions") or {}).items() if found}
        own = next((versions[name] for name in self.gemm.packages if name in versions), None)
        version = own or self.config.engine.version
        facts = {"kind": self.config.engine.kind, "version": version, "device": self.config.engine.device}
        facts |= {key: self.facts.get(key) for key in ("device_name", "threads", "cuda", "cache_bytes")}
        facts |= {"versions": versions, "command": self.facts.get("command"), "log": str(self.log)}
        return EngineFacts.from_json(facts | {"kernels": [{"layer": "products", "kernel": kernel, "emulated": False}]})


def outcome(config: Config, variant: str, layer: Layer, found: Measured, facts: dict[str, Any]) -> tuple[Outcome, str]:
    """The cell's outcome and the name of the engine's kernel. Raises CellError where the engine has none here."""
    format, baseline = _format(config, variant), _format(config, config.baseline)
    mine = [row for row in found.rows if row["format"] == format]
    reasons = [entry for entry in (*found.absent, *found.skipped) if entry["format"] == format]
    engine = [row for row in mine if row["role"] == "engine"]
    if not engine:
        why = "; ".join(dict.fromkeys(f"{entry['kernel']}: {entry['reason']}" for entry in reasons))
        raise CellError(f"no {format} product of {layer.name} was measured: {why or 'the engine has no kernel'}")
    base = {row["batch"]: row["times_s"] for row in found.rows if row["format"] == baseline and row["role"] == "engine"}
    rows, flags = [], []
    for row in mine:
        kept = {key: row[key] for key in ("batch", "kernel", "role", "note", "times_s", "calls", "clock", "copies")}
        kept |= {"error": row["error"], "bound": row["bound"]}
        kept["flops"] = flops(row["batch"], layer.n, layer.k)
        kept["bytes"] = moved_bytes(format, row["batch"], layer.n, layer.k)
        kept["baseline_times_s"] = base.get(row["batch"], []) if row["role"] == "engine" else []
        rows.append(kept)
    for role, level in (("engine", "invalid"), ("vendor", "caution")):
        wrong = [row for row in rows if row["role"] == role and not right(row)]
        if wrong:
            worst = max(wrong, key=lambda row: float("inf") if row["error"] is None else row["error"])
            size = "not finite" if worst["error"] is None else f"{worst['error']:.2g}"
            flags.append(
                Flag(
                    "wrong_product",
                    level,
                    f"{worst['kernel']} at batch size {worst['batch']}: relative error {size} of the float64 product, "
                    f"rounding explains {worst['bound']:.2g}",
                )
            )
    result = asdict(layer) | {"format": format, "against": baseline, "tensor_parallel": config.gemm.tensor_parallel}
    result["layer"] = result.pop("name")
    result |= {"absent": [_told(entry) for entry in reasons], "roofline": roofline(facts)}
    name = engine[0]["kernel"] + (f" ({engine[0]['note']})" if engine[0]["note"] else "")
    return Outcome(GemmResult.from_json(result | {"kernel": name}), rows, flags), name


def _format(config: Config, variant: str) -> str:
    """Return the number format of a variant whose products are timed. Raises CellError for another."""
    format = format_of(config.variants[variant].scheme)
    if format is None:
        raise CellError(f"variant {variant}: products of its scheme are not timed")
    return format


def right(row: dict[str, Any]) -> bool:
    return row["error"] is not None and row["error"] <= row["bound"]


def _told(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: entry[key] for key in ("kernel", "batch", "reason") if key in entry}


def roofline(facts: dict[str, Any]) -> dict[str, Any] | None:
    """A GPU's data sheet by its name; of a CPU what was measured; None where neither is known."""
    if name := facts.get("device_name"):
        return data_sheet(name)
    if measured := facts.get("measured"):
        return {"name": "this CPU", "source": "measured", **measured}
    return None


def pending_formats(config: Config, cells: list[tuple[str, str]]) -> dict[str, list[str]]:
    """By layer, the formats of the (variant, layer) cells to measure; the baseline's is always timed beside them."""
    formats: dict[str, list[str]] = {}
    baseline = _format(config, config.baseline)
    for variant, layer in cells:
        wanted = formats.setdefault(layer, [baseline])
        if (format := _format(config, variant)) not in wanted:
            wanted.append(format)
    return formats
