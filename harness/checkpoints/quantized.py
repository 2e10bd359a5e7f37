"""Whether a checkpoint is quantized already, as its small files say: no weight is read."""

from pathlib import Path

from harness.checkpoints import served_files
from harness.checkpoints.gguf_types import main_type
from harness.checkpoints.inspection.methods import read_claims
from harness.errors import HarnessError

DENSE_GGUF = ("F32", "F16", "BF16", "F64")
MODELOPT = "hf_quant_config.json"


def quantization_of(reference: str, form: str = "safetensors") -> str | None:
    """Return the method that a checkpoint names (compressed-tensors, gptq, fp8, ...); None for a dense one.

    `form`: that the engine serves. A GGUF file counts for an engine that serves it; for others it is imported to BF16.
    None too for a checkpoint that is not within reach, which is a separate problem.
    """
    if reference.endswith(".gguf"):
        return _gguf(Path(reference).expanduser()) if form == "gguf" else None
    files = served_files.of_source(reference)
    if files is None:
        return None
    try:
        method = read_claims(files.config).method
    except (AttributeError, LookupError, TypeError, ValueError):  # the inspection says what is wrong with it
        method = "quantization_config"
    return method or ("modelopt" if MODELOPT in files.names else None)


def _gguf(path: Path) -> str | None:
    try:
        kind = main_type(path)
    except HarnessError:
        return None
    return None if kind in DENSE_GGUF else f"GGUF {kind}"
