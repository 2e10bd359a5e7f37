"""What data sheets promise of GPUs: the roofs of the simulated engine and of the GEMM study. Pure.

Bandwidth, memory and dense tensor-core peaks of NVIDIA's data sheets; where a sheet gives sparse figures, half of them.

    h100       H100 SXM5 80 GB (H100 Tensor Core GPU data sheet, 2023)
    h200       H200 SXM 141 GB (H200 Tensor Core GPU data sheet, 2024)
    b200       one GPU of a DGX B200: 180 GB, and an eighth of its 64 TB/s, 72 PFLOPS FP4 dense, 72 PFLOPS FP8 sparse
               (DGX B200 data sheet, 2024)
    a100       A100 SXM4 80 GB, and a100-40gb (A100 Tensor Core GPU data sheet, 2021)
    l40s       L40S 48 GB (L40S data sheet, 2023)
    a5000      RTX A5000 24 GB, and a6000, RTX A6000 48 GB (data sheets, 2021; their "Tensor performance", 222.2 and
               309.7 TFLOPS, is of 2:4 sparse FP16, and INT8 has twice FP16's, as in NVIDIA's GA102 white paper)

FP8 begins with Ada and Hopper, FP4 with Blackwell. All of them have 2:4 sparse tensor cores, at twice the dense peak,
for every type that they have: so 2:4 INT8 on Ampere, and no 2:4 FP8.

`link` is what one GPU sends to its peers of a node, bytes/s in one direction: half of the sheets' NVLink total (H100
and H200 900 GB/s, A100 600 GB/s, B200 1.8 TB/s), or PCIe Gen4 x16's half of 64 GB/s (the RTX cards' NVLink bridge joins
only two, and is left out).
"""

from dataclasses import dataclass

NODE_GPUS = 8  # that the links join
SPARSE_PEAK = 2.0  # 2:4 over dense


@dataclass(frozen=True)
class Hardware:
    name: str
    bandwidth: float  # bytes/s of memory
    memory: float  # bytes
    peak: dict[str, float]  # dense FLOP/s by type: bf16 (and FP16), fp8, int8, fp4
    link: float  # bytes/s to its peers, one direction
    link_latency_s: float  # of one all-reduce of a few bytes


# Assumed: a custom all-reduce over NVLink takes about 10 us for small messages, one through PCIe and host memory 30 us.
NVLINK_S, PCIE_S, PCIE4 = 10e-6, 30e-6, 32e9
HOPPER = {"bf16": 989.4e12, "fp8": 1978.9e12, "int8": 1978.9e12}
AMPERE = {"bf16": 312e12, "int8": 624e12}

HARDWARE = {
    "h100": Hardware("NVIDIA H100 SXM", 3.35e12, 80e9, HOPPER, 450e9, NVLINK_S),
    "h200": Hardware("NVIDIA H200 SXM", 4.8e12, 141e9, HOPPER, 450e9, NVLINK_S),
    "b200": Hardware(
        "NVIDIA B200", 8e12, 180e9, {"bf16": 2.25e15, "fp8": 4.5e15, "int8": 4.5e15, "fp4": 9e15}, 900e9, NVLINK_S
    ),
    "a100": Hardware("NVIDIA A100 80GB SXM", 2.039e12, 80e9, AMPERE, 300e9, NVLINK_S),
    "a100-40gb": Hardware("NVIDIA A100 40GB SXM", 1.555e12, 40e9, AMPERE, 300e9, NVLINK_S),
    "l40s": Hardware("NVIDIA L40S", 864e9, 48e9, {"bf16": 362.05e12, "fp8": 733e12, "int8": 733e12}, PCIE4, PCIE_S),
    "a5000": Hardware("NVIDIA RTX A5000", 768e9, 24e9, {"bf16": 111.1e12, "int8": 222.2e12}, PCIE4, PCIE_S),
    "a6000": Hardware("NVIDIA RTX A6000", 768e9, 48e9, {"bf16": 154.85e12, "int8": 309.7e12}, PCIE4, PCIE_S),
}
