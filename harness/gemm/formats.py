"""From a variant's scheme to the number format of its products. Pure."""

from harness.config.schema import Config
from harness.config.schemes import number, scheme_words
from harness.config.variants import Format, Scheme
from harness.errors import ConfigError, did_you_mean
from harness.gemm.shapes import LAYERS

# (weights, their scales, activations, their scales, sparsity) -> format
FORMATS = {
    ("bf16", None, "bf16", None, None): "bf16",
    ("fp16", None, "fp16", None, None): "fp16",
    ("fp32", None, "fp32", None, None): "fp32",
    ("int8", "channel", "int8", "token", None): "int8",
    ("fp8 e4m3", "channel", "fp8 e4m3", "token", None): "fp8",
    ("fp8 e4m3", "channel", "fp8 e4m3", "token", "2:4"): "sparse24_fp8",
}
BITS = {"bf16": 16, "fp16": 16, "fp32": 32, "int8": 8, "fp8": 8, "sparse24_fp8": 8}
OUTPUT_BYTES = {"fp32": 4}  # the others answer in 16 bits
META_BITS = 2  # of a value that is kept, to say which of its four it is


def format_of(scheme: Scheme) -> str | None:
    """None for a scheme whose products are not timed here."""
    parts = (*_number(scheme.weights), *_number(scheme.activations), scheme.sparsity)
    symmetric = scheme.weights.symmetric and scheme.activations.symmetric
    dynamic = scheme.activations.dynamic or scheme.activations.granularity is None
    return FORMATS.get(parts) if symmetric and dynamic else None


def _number(format: Format) -> tuple[str, str | None]:
    return number(format), format.granularity


def flops(m: int, n: int, k: int) -> float:
    """2 m n k: what the dense product takes, for 2:4 weights too, as vendors and papers count."""
    return 2.0 * m * n * k


def weight_bytes(format: str, n: int, k: int) -> float:
    """Return the bytes of [N, K] weights, with scales of 4 bytes a channel.

    2:4 keeps half of them and two bits of metadata for each.
    """
    kept = n * k / 2 if format == "sparse24_fp8" else n * k
    meta = kept * META_BITS / 8 if format == "sparse24_fp8" else 0.0
    return kept * BITS[format] / 8 + meta + (4 * n if BITS[format] == 8 else 0)


def moved_bytes(format: str, m: int, n: int, k: int) -> float:
    """Weights, activations and outputs, each once: the least that a product moves."""
    scales = 4 * m if BITS[format] == 8 else 0
    return weight_bytes(format, n, k) + m * k * BITS[format] / 8 + scales + m * n * OUTPUT_BYTES.get(format, 2)


def check_gemm(config: Config) -> None:
    """Raises ConfigError for settings that cannot be measured, and for variants of which nothing could be: in a sweep
    that serves too, a variant without such products is left out of them, and the report says so."""
    settings = config.gemm
    if not settings.batch_sizes:
        return
    if min(settings.batch_sizes) < 1:
        raise ConfigError(f"gemm.batch_sizes: {min(settings.batch_sizes)} is not a number of tokens; at least 1")
    for name, low in (("repeats", 1), ("tensor_parallel", 1), ("min_time_ms", 0.1), ("max_point_s", 0.1)):
        if (value := getattr(settings, name)) < low:
            raise ConfigError(f"gemm.{name}={value:g} must be at least {low:g}")
    if not settings.layers:
        raise ConfigError(f"gemm.layers is empty; available: {', '.join(LAYERS)}")
    for layer in settings.layers:
        if layer not in LAYERS:
            raise ConfigError(f"gemm.layers: no layer {layer!r}{did_you_mean(layer, list(LAYERS))}")
    serves = bool(config.suites or config.scenarios)
    for name, variant in config.variants.items():
        if format_of(variant.scheme) is None and (name == config.baseline or not serves):
            said = scheme_words(variant.scheme)
            what = "; ".join(filter(None, (said["weights"], f"activations {said['activations']}", said["sparsity"])))
            raise ConfigError(
                f"variants.{name}: products of this scheme are not timed ({what}); "
                f"formats: {', '.join(FORMATS.values())}, 8 bits per channel and per token"
            )
