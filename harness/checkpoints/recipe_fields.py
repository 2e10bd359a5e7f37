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


class QuantizationFields(TypedDict, total=False):
    """The set fields of config.variants.Quantization. The last three are compressed-tensors' QuantizationArgs."""

    method: str
    scheme: str
    group_size: int
    weights: dict[str, Any]
    activations: dict[str, Any]
    kv_cache_scheme: dict[str, Any]


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
