"""config.json and tokenizer_config.json: what is used of them, read once.

A field that a file lacks, or that has another type than it should, is None or empty: an engine says what is wrong.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from harness.untrusted import strict_json
from harness.untrusted.strict_json import JsonObject

LANGUAGE_PARTS = ("text_config", "llm_config", "language_config")  # of a multimodal model
EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts")
LARGEST = 1 << 31  # of a size


@dataclass(frozen=True)
class Decoder:
    """The language model's sizes."""

    model_type: str | None = None
    hidden_size: int | None = None
    intermediate_size: int | None = None
    moe_intermediate_size: int | None = None
    num_attention_heads: int | None = None
    num_key_value_heads: int | None = None
    head_dim: int | None = None
    num_hidden_layers: int | None = None
    max_position_embeddings: int | None = None
    experts: tuple[str, int] | None = None  # the key that says it, and how many

    @classmethod
    def read(cls, config: JsonObject) -> Self:
        sizes = {name: _size(config.get(name)) for name in cls.__dataclass_fields__ if name not in _NO_SIZES}
        counts = ((key, _size(config.get(key))) for key in EXPERTS)
        experts = next(((key, count) for key, count in counts if count and count > 1), None)
        return cls(model_type=_text(config.get("model_type")), experts=experts, **sizes)


_NO_SIZES = ("model_type", "experts")


@dataclass(frozen=True)
class ModelConfig:
    """`raw`: the whole, for what is compared key by key between versions of engines: RoPE."""

    raw: JsonObject = field(default_factory=dict)
    architectures: tuple[str, ...] = ()
    decoder: Decoder = field(default_factory=Decoder)
    hidden_size: int | None = None  # of the whole model, else of its decoder
    num_hidden_layers: int | None = None
    tied: bool = False  # lm_head is the embedding
    quantization: Any = None  # quantization_config as it came
    has_code: bool = False  # `auto_map`: classes that come with the checkpoint
    code: tuple[str, ...] = ()  # names in it
    name_or_path: str | None = None  # what it was loaded from when it was saved

    @classmethod
    def read(cls, config: JsonObject) -> Self:
        text = next((part for name in LANGUAGE_PARTS if isinstance(part := config.get(name), dict) and part), config)
        decoder, names = Decoder.read(text), config.get("architectures")
        quantization = config.get("quantization_config") or config.get("compression_config")
        return cls(
            raw=config,
            architectures=tuple(name for name in names if isinstance(name, str)) if isinstance(names, list) else (),
            decoder=decoder,
            hidden_size=_size(config.get("hidden_size")) or decoder.hidden_size,
            num_hidden_layers=_size(config.get("num_hidden_layers")) or decoder.num_hidden_layers,
            tied=config.get("tie_word_embeddings", text.get("tie_word_embeddings")) is True,
            quantization=text.get("quantization_config") if quantization is None else quantization,
            has_code="auto_map" in config,
            code=tuple(_names(config.get("auto_map"))),
            name_or_path=_text(config.get("_name_or_path")),
        )


@dataclass(frozen=True)
class TokenizerConfig:
    tokenizer_class: str | None = None
    has_code: bool = False  # its class comes with the checkpoint
    code: tuple[str, ...] = ()  # names in `auto_map`
    lists_extra_tokens: bool = False  # `extra_special_tokens` is a list, as transformers 5 writes it

    @classmethod
    def read(cls, config: JsonObject) -> Self:
        auto_map = config.get("auto_map")
        return cls(
            tokenizer_class=_text(config.get("tokenizer_class")),
            has_code=isinstance(auto_map, dict) and bool(auto_map.get("AutoTokenizer")),
            code=tuple(_names(auto_map)),
            lists_extra_tokens=isinstance(config.get("extra_special_tokens"), list),
        )


def read_file(path: Path) -> ModelConfig:
    """Raises OSError, and ValueError for what is no JSON object."""
    found = strict_json.read(path, infinity=True)
    if not isinstance(found, dict):
        raise ValueError("not a JSON object")
    return ModelConfig.read(found)


def _size(value: Any) -> int | None:
    return value if type(value) is int and 0 < value < LARGEST else None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _names(auto_map: Any) -> Iterator[str]:
    """Yield the names in an `auto_map`: of a class, or of a slow and a fast tokenizer."""
    if isinstance(auto_map, str):
        yield auto_map
    elif isinstance(auto_map, dict | list):
        for one in auto_map.values() if isinstance(auto_map, dict) else auto_map:
            if isinstance(one, str | list):
                yield from _names(one)
