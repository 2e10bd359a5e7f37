"""What a finished checkpoint is, read from its files: the facts that a sweep file needs."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.checkpoints import gguf_types, served_files
from harness.checkpoints.inspection import Inspection, inspect_checkpoint
from harness.checkpoints.inspection.layer import Layer
from harness.checkpoints.inspection.remote import HubFiles
from harness.checkpoints.quantized import DENSE_GGUF
from harness.checkpoints.served_files import ServedFiles
from harness.checkpoints.sources import HUB_ID
from harness.config.variants import Format, Scheme
from harness.errors import HarnessError

ADAPTER = "adapter_config.json"
SHAPE = ("hidden_size", "num_hidden_layers")
GGUF_FLOATS = {"F32": ("float", 32), "F16": ("float", 16), "BF16": ("bfloat", 16), "F64": ("float", 64)}


@dataclass(frozen=True)
class Found:
    """A checkpoint as it was named, and what its files hold."""

    reference: str  # hub id[@revision], or an absolute path
    name: str  # of its folder, file or repository
    architecture: str
    shape: tuple[int | None, ...]  # SHAPE, where config.json says it
    parameters: int  # weights of matrices, unpacked
    size_bytes: int
    scheme: Scheme
    method: str | None  # compressed-tensors, gptq, GGUF Q4_K, ...; None: dense
    context: int | None = None  # tokens that the model was trained for
    files: ServedFiles | None = None  # None: a GGUF file

    @property
    def is_gguf(self) -> bool:
        return self.reference.endswith(".gguf")

    @property
    def is_dense(self) -> bool:
        return self.method is None and self.scheme.sparsity is None

    @property
    def on_hub(self) -> bool:
        return not self.reference.startswith("/")


def read(reference: str) -> Found:
    """Read a folder, a FILE.gguf or a hub id. Raises HarnessError for what is no checkpoint that can be served."""
    path = Path(reference).expanduser()
    if reference.endswith(".gguf"):
        return _gguf(path.resolve(), reference)
    if path.is_dir():
        if (path / ADAPTER).is_file() and not (path / "config.json").is_file():
            raise HarnessError(_adapter(reference))
        if not (path / "config.json").is_file():
            raise HarnessError(f"{reference}: no checkpoint: no config.json in {path.resolve()}; name its folder")
        return _found(str(path.resolve()), path.resolve().name, *_inspected(reference, str(path.resolve()), None))
    if path.exists() or reference.startswith(("/", "./", "../", "~")) or not HUB_ID.fullmatch(reference):
        what = "a file" if path.is_file() else "not there" if "/" in reference else "no folder here, and no hub id"
        raise HarnessError(f"{reference}: no checkpoint ({what}); name a folder, a FILE.gguf or a hub id (org/name)")
    repository, _, revision = reference.partition("@")
    names = HubFiles(repository, revision or None).names()
    if ADAPTER in names and "config.json" not in names:
        raise HarnessError(_adapter(reference))
    return _found(reference, repository.partition("/")[2], *_inspected(reference, repository, revision or None))


def same_model(found: Sequence[Found]) -> None:
    """Raise HarnessError unless all are one model's: one form, architecture and shape."""
    first = found[0]
    for other in found[1:]:
        if other.is_gguf != first.is_gguf:
            hf, gguf = (first, other) if other.is_gguf else (other, first)
            raise HarnessError(
                f"{gguf.name} is a GGUF file and {hf.name} is not: no engine serves both; name the dense one as a GGUF "
                "file too (llama.cpp's convert_hf_to_gguf.py makes one)"
            )
        differs = (other.architecture, other.shape) != (first.architecture, first.shape)
        if differs or (first.is_gguf and other.parameters != first.parameters):
            raise HarnessError(
                f"{other.name} is not the same model as {first.name}: {_model(other)} against {_model(first)}; a study "
                "compares forms of one model"
            )


def _model(found: Found) -> str:
    said = [f"{value:,} {name}" for name, value in zip(SHAPE, found.shape, strict=False) if value]
    said += [] if said else [f"{found.parameters:,} weights"]
    return f"{found.architecture} ({', '.join(said)})"


def _adapter(reference: str) -> str:
    return (
        f"{reference}: a LoRA adapter ({ADAPTER}), no whole model; merge it into its base model (peft's "
        "merge_and_unload) and name the result"
    )


def _inspected(reference: str, location: str, revision: str | None) -> tuple[Inspection, ServedFiles]:
    files = served_files.read(location, revision)
    if files is None:
        raise HarnessError(f"{reference}: no checkpoint: its config.json cannot be read")
    found = inspect_checkpoint(location, revision)
    if found.errors:
        raise HarnessError(f"{reference}: {found.errors[0]}; all of it: harness inspect {reference}")
    return found, files


def _found(reference: str, name: str, inspection: Inspection, files: ServedFiles) -> Found:
    decoder = files.config.decoder
    return Found(
        reference=reference,
        name=name,
        architecture=inspection.architecture,
        shape=(decoder.hidden_size, decoder.num_hidden_layers),
        parameters=sum(layer.count for layer in inspection.layers),
        size_bytes=inspection.bytes,
        scheme=scheme_of(inspection),
        method=inspection.claims.method,
        context=decoder.max_position_embeddings,
        files=files,
    )


def scheme_of(inspection: Inspection) -> Scheme:
    """The format of most linear weights, with the activations that quantization_config claims for them."""
    inner = [layer for layer in inspection.linear if layer.kind != "lm_head"]
    quantized = [layer for layer in inner if layer.quantized]
    weights: Counter[str] = Counter()
    example: dict[str, Layer] = {}
    for layer in quantized or inner:
        key = repr(layer.format)
        weights[key] += layer.count
        example.setdefault(key, layer)
    sparsity = "2:4" if inspection.sparse24 else None
    if not weights:
        return Scheme(sparsity=sparsity)
    layer = example[weights.most_common(1)[0][0]]
    claim = inspection.claims.best(layer.name, layer.format) if layer.quantized else None
    activations = (claim.activations if claim else None) or (Format() if layer.quantized else layer.format)
    return Scheme(layer.format, activations, sparsity, inspection.claims.kv_cache)


def _gguf(path: Path, reference: str) -> Found:
    if not path.is_file():
        raise HarnessError(f"{reference}: no checkpoint: no such file {path}")
    counted = gguf_types.elements_by_type(path)
    kind = max(counted, key=counted.__getitem__)
    dense = kind in DENSE_GGUF
    return Found(
        reference=str(path),
        name=path.stem,
        architecture="GGUF",
        shape=(),
        parameters=sum(counted.values()),
        size_bytes=path.stat().st_size,
        scheme=_gguf_scheme(kind),
        method=None if dense else f"GGUF {kind}",
    )


def _gguf_scheme(kind: str) -> Scheme:
    if kind in GGUF_FLOATS:
        type_, bits = GGUF_FLOATS[kind]
        return Scheme(Format(bits, type_), Format(bits, type_))
    weights = Format(gguf_types.bits(kind), "int", "group", 32, symmetric=kind not in gguf_types.ASYMMETRIC)
    return Scheme(weights, Format(8, "int", "group", 256 if "_K" in kind else 32, dynamic=True))
