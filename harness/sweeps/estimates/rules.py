"""Rules of thumb for what is made before cells are measured: environments, checkpoints, engine starts, the report.

Measured with SmolLM2-135M on two cores (compression: 64 samples of 512 tokens) and scaled by the number of weights.
"""

from harness.checkpoints.recipe_fields import RecipeFields

COMPRESSION_INSTALL_S = 40.0  # 18 s at most for its CPU build on a disk; 3 GB of CUDA wheels are downloaded
BESIDE_S = 5.0  # what is left of it where the engine's environment is installed at the same time
DOWNLOAD_BYTES_PER_S = 100e6
READ_BYTES_PER_S = 1e9
IMPORT_S, IMPORT_S_PER_WEIGHT = 8.0, 0.25e-6  # 41 to 54 s for 135M weights
COMPRESS_S, COMPRESS_S_PER_WEIGHT = 10.0, 0.02e-6  # 8 s of imports, 2 s rounding to nearest
METHOD_S_PER_WEIGHT = {  # beside that, on a CPU: 142 to 160 s of SparseGPT, 240 to 428 s of GPTQ
    "sparsegpt": 1.1e-6,
    "gptq": 2.5e-6,
    "awq": 2.5e-6,
    "wanda": 0.3e-6,
    "smoothquant": 0.3e-6,
}
GPU_FASTER = 15.0
WARM_UP_S = 3.0  # the tokenizer is loaded
REPORT_S, REPORT_S_PER_CELL = 4.0, 0.03


def import_s(weights: float) -> float:
    return IMPORT_S + weights * IMPORT_S_PER_WEIGHT


def compress_s(recipe: RecipeFields, weights: float, on_gpu: bool) -> float:
    methods_s = weights * sum(METHOD_S_PER_WEIGHT.get(method, 0.0) for method in methods_of(recipe))
    return COMPRESS_S + weights * COMPRESS_S_PER_WEIGHT + methods_s / (GPU_FASTER if on_gpu else 1.0)


def methods_of(recipe: RecipeFields) -> list[str]:
    """Return the methods of a recipe, in the order in which they are applied."""
    parts = (recipe.get("smoothing"), recipe.get("sparsity"), recipe.get("quantization"))
    return [method for part in parts if part and (method := part.get("method"))]


def download_s(weights: float) -> float:
    """Return how long a BF16 checkpoint takes from the hub."""
    return 2 * weights / DOWNLOAD_BYTES_PER_S


def read_s(weights: float) -> float:
    return 2 * weights / READ_BYTES_PER_S


def report_s(cells: int) -> float:
    return REPORT_S + REPORT_S_PER_CELL * cells
