"""Stand-ins for the two driver libraries that a CUDA wheel of vLLM asks for.

With them it takes its CUDA paths on a machine without a GPU; no kernel can run.

`libcuda.so.1`: every symbol that the wheel's extensions take from it, each returns CUDA_ERROR_NO_DEVICE.
`libnvidia-ml.so.1`: tests/integration/telemetry/nvml_standin.c, which answers as one of GPUS.
"""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

NVML_SOURCE = Path(__file__).parents[1] / "integration" / "telemetry" / "nvml_standin.c"
COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
NO_DEVICE = 100  # CUDA_ERROR_NO_DEVICE of cuda.h
# Asked by name at run time (dlsym), by libcudart and Triton.
BY_NAME = {"cuInit", "cuDriverGetVersion", "cuGetErrorString", "cuGetProcAddress", "cuGetProcAddress_v2"}


@dataclass(frozen=True)
class Gpu:
    name: str  # as nvmlDeviceGetName gives it
    capability: str
    memory_gib: int


GPUS = {
    "h100": Gpu("NVIDIA H100 80GB HBM3", "9.0", 80),
    "a100": Gpu("NVIDIA A100-SXM4-80GB", "8.0", 80),
    "b200": Gpu("NVIDIA B200", "10.0", 180),
}


def build(folder: Path, site_packages: Path) -> Path:
    """Compile both libraries into `folder`; return it, for LD_LIBRARY_PATH."""
    if COMPILER is None:
        raise RuntimeError("no C compiler; install gcc")
    folder.mkdir(parents=True, exist_ok=True)
    source = folder / "cuda.c"
    names = sorted(BY_NAME | driver_symbols(site_packages))
    source.write_text("".join(f"int {name}(void) {{ return {NO_DEVICE}; }}\n" for name in names))
    compile_library(source, folder / "libcuda.so.1")
    compile_library(NVML_SOURCE, folder / "libnvidia-ml.so.1")
    return folder


def compile_library(source: Path, library: Path) -> None:
    command = [COMPILER, "-shared", "-fPIC", f"-Wl,-soname,{library.name}", "-o", str(library), str(source)]
    subprocess.run(command, check=True)


def driver_symbols(site_packages: Path) -> set[str]:
    """Undefined `cu...` symbols of the extensions that are linked to libcuda.so.1."""
    found = set()
    for extension in [*site_packages.glob("vllm/*.so"), *site_packages.glob("vllm/*/*.so")]:
        dynamic = subprocess.run(["readelf", "-d", extension], capture_output=True, text=True, check=True).stdout
        if "[libcuda.so.1]" in dynamic:
            symbols = subprocess.run(["nm", "-D", "-u", extension], capture_output=True, text=True, check=True).stdout
            found |= set(re.findall(r"\bU (cu[A-Z]\w+)", symbols))
    return found


def environment(libraries: Path, gpu: str, count: int = 1) -> dict[str, str]:
    """Environment variables of a process that is to find `count` GPUs of this kind."""
    kind = GPUS[gpu]
    return {key: value for key, value in os.environ.items() if not key.startswith(("CUDA_", "VLLM_"))} | {
        "LD_LIBRARY_PATH": str(libraries),
        "PYTORCH_NVML_BASED_CUDA_CHECK": "1",  # torch.cuda.is_available() by NVML: Triton is disabled without it
        "STANDIN_GPUS": str(count),
        "STANDIN_NAME": kind.name,
        "STANDIN_CAPABILITY": kind.capability,
        "STANDIN_MEMORY_GIB": str(kind.memory_gib),
    }
