"""A variant's recipe as it is fingerprinted, stored and given to workers/compress: the fields that are set."""

from typing import Any, TypedDict


class CalibrationFields(TypedDict, total=False):
    """The set fields of config.variants.Calibration, with the sweep's values.

    `content`: digest of a local folder of data.
    """

    file: str
    dataset: str
    split: str
    revision: str
    samples: int
    max_tokens: int
    seed: int
    content: str


class SmoothingFields(TypedDict, total=False):
    """The set fields of config.variants.Smoothing."""

    method: str
    strength: float


class SparsityFields(TypedDict, total=False):
    """The set fields of config.variants.Sparsity."""

    method: str
    pattern: str
    write_config: bool


class QuantizationArgs(TypedDict, total=False):
    """compressed-tensors' arguments of the same name, as a user writes them."""

    num_bits: int
    type: str
    symmetric: bool
    strategy: str
    group_size: int
    block_structure: list[int]
    dynamic: bool | str
    actorder: str | bool
    observer: str
    observer_kwargs: Any
    scale_dtype: str
    zp_dtype: str


class QuantizationFields(TypedDict, total=False):
    """The set fields of config.variants.Quantization."""

    method: str
    scheme: str
    group_size: int
    weights: QuantizationArgs
    activations: QuantizationArgs
    kv_cache_scheme: QuantizationArgs


class LayerMappingFields(TypedDict):
    """The set fields of config.variants.LayerMapping."""

    smooth_layer: str
    balance_layers: list[str]


class RecipeFields(TypedDict, total=False):
    """The set fields of config.variants.Recipe."""

    smoothing: SmoothingFields
    sparsity: SparsityFields
    quantization: QuantizationFields
    calibration: CalibrationFields
    mappings: list[LayerMappingFields]
    ignore: list[str]


class WorkerSpec(RecipeFields, total=False):
    """The spec.json of a worker: workers/compress takes a recipe, `model`, `revision` and `dtype`; workers/make_gguf.py
    `model`, `tool` and `scheme`; a worker that imports takes `file` or `package`."""

    model: str
    revision: str | None
    dtype: str
    tool: str  # path of llama-quantize
    scheme: str
    file: str
    package: str
