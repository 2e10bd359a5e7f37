"""Which kernel vLLM chose per layer type, read from its log, and whether it is an emulation."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

if TYPE_CHECKING:  # it brings numpy, which the command line's help does without
    from harness.checkpoints.inspection import Inspection

CHOICE = re.compile(r"(?:Selected|Using) (\S+) for (.+?)\s*$")
# Kernels that answer what the scheme answers without the scheme's arithmetic: their speed says nothing of it.
EMULATIONS = {
    "ChannelWiseTorchFP8ScaledMMLinearKernel": {"cpu"},
    "PerTensorTorchFP8ScaledMMLinearKernel": {"cpu"},
    "CPUFp8PerTensorScaledMMLinearKernel": {"cpu"},
    "MarlinFP8ScaledMMLinearKernel": {"cpu", "cuda"},  # FP8 weights, 16-bit arithmetic
}


def read_kernels(log: Path, device: str) -> list[dict[str, Any]]:
    """[{layer, kernel, emulated}], each pair once, in the log's order."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    try:
        text = log.read_text(errors="replace")
    except OSError:
        return []
    for line in text.splitlines():
        match = CHOICE.search(line)
        if not match or ("Kernel" not in match[1] + match[2] and "attention" not in match[2].lower()):
            continue
        kernel, layer = match[1], match[2].split(" (")[0]
        emulated = "emulat" in kernel.lower() or device in EMULATIONS.get(kernel, ())
        found[(layer, kernel)] = {"layer": layer, "kernel": kernel, "emulated": emulated}
    return list(found.values())


CUTLASS_24 = SpecifierSet(">=0.7,<0.19")  # removed by PR 36799
SPARSE_MARLIN = SpecifierSet("<0.16")  # removed by PR 32688


def wants_sparsity_config(engine: Any) -> bool:
    """Has the engine of this configuration 2:4 kernels, which it takes where a checkpoint's sparsity_config says so?

    vLLM from 0.19 on refuses such a checkpoint at load, on every device (compressed_tensors.py of 0.32: "Sparsity
    support has been removed"); and a CPU has no 2:4 kernels.
    """
    if (engine.kind, getattr(engine, "device", None)) != ("vllm", "cuda"):
        return False
    try:
        return CUTLASS_24.contains(Version(engine.version), prereleases=True)
    except InvalidVersion:
        return False


def no_sparse_kernel(facts: dict[str, Any], checkpoint: "Inspection") -> str | None:
    """Why 2:4 weights run without 2:4 kernels; None where they run with them, or are not 2:4.

    vLLM's conditions (supports_cutlass_24 of 0.18.1): sparsity_config says 2:4, dense or bitmask; unquantized, or 8-bit
    weights per tensor or channel with 8-bit activations per tensor or token. 2:4 INT4 wants the format marlin-24.
    """
    if not checkpoint.sparse24:
        return None
    engine = f"{facts.get('kind', 'this engine')} {facts.get('version', '')}".strip()
    if facts.get("kind") != "vllm":
        return f"{engine} has no 2:4 kernels"
    if facts.get("device") != "cuda":
        return f"{engine} has no 2:4 kernels for {facts.get('device', 'this device')}"
    try:
        version = Version(str(facts.get("version")))
    except InvalidVersion:
        return f"{engine}: a version that cannot be read"
    claims = checkpoint.claims
    if claims.sparsity_format == "marlin-24":
        gone = f"{engine} has no sparse Marlin kernels (removed in 0.16.0)"
        return None if SPARSE_MARLIN.contains(version, prereleases=True) else gone
    if not CUTLASS_24.contains(version, prereleases=True):
        return f"{engine} has no CUTLASS 2:4 kernels (removed in 0.19.0)"
    if claims.sparsity != "2:4" or claims.sparsity_format not in ("dense", "sparse-24-bitmask"):
        return "config.json has no sparsity_config that says 2:4, without which vLLM takes its dense kernels"
    for _, claim in claims.groups:
        if claim.weights.bits != 8 or claim.activations is None or claim.activations.bits != 8:
            return "vLLM's CUTLASS 2:4 kernels take 16-bit or 8-bit layers, not weight-only quantization"
        if claim.weights.granularity not in ("tensor", "channel"):
            return f"vLLM's CUTLASS 2:4 kernels take no scales per {claim.weights.granularity}"
    return None
