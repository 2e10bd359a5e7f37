"""What a GPU's data sheet promises, by the name that CUDA gives it. An unknown one has no roofline, not a guess."""

import re

from harness.machine.data_sheets import HARDWARE, SPARSE_PEAK
from harness.records.gemm_result import Roofline

NAMES = {  # the data sheet differs by form factor: PCIe and NVL cards are none of these
    r"H100 80GB HBM3": "h100",
    r"H200(?! NVL)": "h200",
    r"NVIDIA B200": "b200",  # of a DGX; a GB200 has its own sheet
    r"A100-SXM4-80GB": "a100",
    r"A100-SXM4-40GB": "a100-40gb",
    r"L40S": "l40s",
    r"RTX A5000": "a5000",
    r"RTX A6000": "a6000",
}
SPARSE = {"fp8": "sparse24_fp8"}


def data_sheet(gpu: str) -> Roofline | None:
    """Return its name, bandwidth and peaks; 2:4 counts the FLOP of the dense product."""
    key = next((key for pattern, key in NAMES.items() if re.search(pattern, gpu)), None)
    if key is None:
        return None
    known = HARDWARE[key]
    peak = {**known.peak, "fp16": known.peak["bf16"]}
    peak |= {sparse: SPARSE_PEAK * known.peak[dense] for dense, sparse in SPARSE.items() if dense in known.peak}
    return Roofline(known.name, "NVIDIA's data sheet", known.bandwidth, peak)
