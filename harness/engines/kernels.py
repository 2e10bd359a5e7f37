"""Which kernel vLLM chose per layer type, read from its log, and whether it is an emulation."""

import re
from pathlib import Path
from typing import Any

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
