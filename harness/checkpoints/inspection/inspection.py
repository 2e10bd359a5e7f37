"""The inspection itself: container, layers, claims, measurements and contradictions, as one record."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from harness.checkpoints.inspection.check import contradictions, scale_problems
from harness.checkpoints.inspection.claims import Claims
from harness.checkpoints.inspection.files import Container, Files, Tensor, open_container
from harness.checkpoints.inspection.granularity import with_granularity
from harness.checkpoints.inspection.layer import Layer
from harness.checkpoints.inspection.layouts import Stored, modules, stored
from harness.checkpoints.inspection.methods import read_claims
from harness.checkpoints.inspection.problems import Fault, Problem, grouped
from harness.checkpoints.inspection.values import Measured, Scales, measure, scale_facts
from harness.checkpoints.model_config import ModelConfig
from harness.errors import HarnessError
from harness.untrusted.patterns import SlowPattern

EXACT = 512 << 20  # bytes: checkpoints up to here are measured whole
SAMPLE = 512 << 10  # bytes of each layer, of a larger one
SAMPLE_REMOTE = 64 << 10
SCALE_BUDGET, SCALE_BUDGET_REMOTE = 4 << 20, 256 << 10  # bytes of a scale tensor
REMOTE_READERS = 16
ODD = (ValueError, IndexError, TypeError, OverflowError, ZeroDivisionError)  # shapes and settings that do not fit
SCALE_PARTS = ("weight_scale", "weight_scale_inv", "scales", "SCB", "absmax", "scale_packed", "weight_global_scale",
               "weight_scale_2", "input_scale", "activation_scale", "input_global_scale",
               "k_scale", "v_scale")  # fmt: skip


@dataclass(frozen=True)
class Inspection:
    """What is in a checkpoint's files."""

    place: str
    architecture: str
    layers: tuple[Layer, ...]
    claims: Claims
    problems: tuple[Problem, ...]
    bytes: int  # of all safetensors files
    files: int
    other_bytes: int  # tensors that are no matrix: norms, biases, KV scales
    exact: bool  # every weight was looked at
    looked_at: float  # share of the weights' values

    @property
    def linear(self) -> list[Layer]:
        return [layer for layer in self.layers if not layer.embedding]

    @property
    def faults(self) -> list[Fault]:
        return [fault for fault in grouped(list(self.problems)) if fault.level != "unchecked"]

    @property
    def unchecked(self) -> list[Fault]:
        """What the files cannot decide: it is said, and admitted."""
        return [fault for fault in grouped(list(self.problems)) if fault.level == "unchecked"]

    @property
    def errors(self) -> list[Fault]:
        return [fault for fault in self.faults if fault.level == "error"]

    @property
    def sparse24(self) -> bool:
        """Is 2:4 in most of the layers? Of those alone that quantization and pruning reach."""
        inner = [layer for layer in self.linear if layer.kind != "lm_head"]
        return 2 * sum(layer.sparse24 for layer in inner) > len(inner) > 0


def inspect_files(files: Files, exact: bool | None = None) -> Inspection:
    """`exact`: every weight (True), samples (False), by size (None). Raises HarnessError for what is no checkpoint."""
    try:
        return _inspected(files, exact)
    except SlowPattern as error:
        raise HarnessError(f"checkpoint {files.place}: config.json: quantization_config: {error}") from None


def _inspected(files: Files, exact: bool | None) -> Inspection:
    container = open_container(files)
    found_config = container.json("config.json")
    config = ModelConfig.read(found_config or {})
    if found_config is None and "config.json" not in files.names():
        container.problems.append(Problem("no_config", "config.json", "not there",
                                          "name a complete Hugging Face checkpoint"))  # fmt: skip
    claims = _claims(container, config)
    total = sum(container.sizes.values())
    whole = (total <= EXACT and not files.remote) if exact is None else exact
    hidden = _hidden(container, config)
    found = [layer for name, parts in modules(container).items() if (layer := _stored(container, name, parts, hidden))]
    if not found and not container.problems:
        container.problems.append(Problem("no_weights", files.place, "its files hold no weights", "download it again"))

    def read(layer: Stored) -> Layer:
        return _layer(container, layer, claims, whole)

    if files.remote:
        with ThreadPoolExecutor(REMOTE_READERS) as pool:
            layers = list(pool.map(read, found))
    else:
        layers = [read(layer) for layer in found]
    scales = {name: _scale_facts(container, parts, SCALE_BUDGET) for name, parts in modules(container).items()
              if name not in {layer.name for layer in layers}}  # fmt: skip
    alone = [problem for name, facts in scales.items() for problem in scale_problems(name, facts)]
    problems = [*container.problems, *_idle_scales(container), *contradictions(layers, claims), *alone]
    held = sum(layer.bytes for layer in layers)
    counted, seen = sum(layer.count for layer in layers), sum(layer.measured.values for layer in layers)
    return Inspection(
        place=files.place,
        architecture=next(iter(config.architectures), "unknown architecture"),
        layers=tuple(layers),
        claims=claims,
        problems=tuple(problems),
        bytes=total,
        files=len(container.sizes),
        other_bytes=sum(tensor.bytes for tensor in container.tensors.values()) - held,
        exact=whole,
        looked_at=min(1.0, seen / counted) if counted else 0.0,
    )


def _claims(container: Container, config: ModelConfig) -> Claims:
    try:
        return read_claims(config, container.json("hf_quant_config.json"))
    except (*ODD, AttributeError, LookupError) as error:
        what = f"quantization_config cannot be read ({error})"
        container.problems.append(Problem("unreadable", "config.json", what, "correct it, or compress again"))
        return Claims("unreadable", known=False)


def _hidden(container: Container, config: ModelConfig) -> int | None:
    """The model's width: config.json's, else that of the embedding."""
    embeddings = (tensor.shape[-1] for name, tensor in container.tensors.items()
                  if name.endswith("embed_tokens.weight") and tensor.shape)  # fmt: skip
    return config.hidden_size or next(embeddings, None)


def _stored(container: Container, name: str, parts: dict[str, Tensor], hidden: int | None) -> Stored | None:
    try:
        return stored(container, name, parts, hidden)
    except (*ODD, KeyError) as error:
        container.problems.append(Problem("bad_layout", name, str(error), "compress it again"))
        return None


def _layer(container: Container, layer: Stored, claims: Claims, whole: bool) -> Layer:
    remote = container.files.remote
    claim = claims.best(layer.name, layer.format) if layer.quantized else None
    try:
        format = with_granularity(layer, claim.weights if claim else None)
    except ODD:  # scales of another rank than their weights
        format = None
    format = format or replace(layer.format, granularity=None)
    budget = None if whole else SAMPLE_REMOTE if remote else SAMPLE
    facts = _scale_facts(container, layer.parts, SCALE_BUDGET_REMOTE if remote else SCALE_BUDGET)
    measured = Measured() if layer.embedding and not whole else _measured(container, layer, budget)
    part = next((part for part, tensor in layer.parts.items() if tensor == layer.scale), "")
    scale = facts.get(part)
    if scale is None and layer.scale is not None:
        scale = Scales(layer.scale.dtype, layer.scale.shape, 0, 0, 0, 0)
    return Layer(layer.name, layer.kind, layer.layout, format, layer.shape, layer.bytes, tuple(layer.parts), scale,
                 facts, measured, layer.matrices, layer.scale_shape)  # fmt: skip


def _measured(container: Container, layer: Stored, budget: int | None) -> Measured:
    try:
        return measure(container, layer, budget)
    except ODD as error:  # parts whose shapes do not fit each other
        container.problems.append(Problem("bad_layout", layer.name, f"its tensors do not fit each other ({error})",
                                          "compress it again"))  # fmt: skip
        return Measured()


def _scale_facts(container: Container, parts: dict[str, Tensor], budget: int) -> dict[str, Scales]:
    facts = {}
    for part in SCALE_PARTS:
        tensor = parts.get(part)
        if tensor is None or tensor.dtype.startswith("I") or (part == "absmax" and tensor.dtype == "U8"):
            continue
        if (found := scale_facts(container, tensor, budget)) is not None:
            facts[part] = found
    return facts


def _idle_scales(container: Container) -> list[Problem]:
    """Scales whose weights are nowhere: a layer that was cut out or renamed."""
    found = []
    for name, parts in modules(container).items():
        scales = [part for part in ("weight_scale", "weight_scale_inv", "scales", "scale_packed") if part in parts]
        if scales and not {"weight", "weight_packed", "qweight", "compressed", "blocks"} & set(parts):
            found.append(Problem("no_weights", name, f"{scales[0]} without weights", "download or compress it again"))
    return found
