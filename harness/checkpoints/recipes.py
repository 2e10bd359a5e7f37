"""A variant's recipe, and what is wrong with it before anything is built. Pure; the work is workers/compress."""

from collections.abc import Iterable
from dataclasses import asdict
from math import gcd
from typing import Literal, cast

from harness.checkpoints.inspection.claims import matches
from harness.checkpoints.inspection.matching import regexes
from harness.checkpoints.model_config import Decoder, ModelConfig
from harness.checkpoints.recipe_fields import CalibrationFields, RecipeFields
from harness.config.schema import Config
from harness.config.variants import Format, Variant
from harness.engines.kernels import wants_sparsity_config
from harness.errors import did_you_mean
from harness.untrusted.patterns import SlowPattern

# Field -> the methods that workers/compress has; True: it measures activations, and needs calibration data for it.
METHODS: dict[Literal["smoothing", "sparsity", "quantization"], dict[str, bool]] = {
    "smoothing": {"smoothquant": True},
    "sparsity": {"sparsegpt": True, "wanda": True, "magnitude": False},
    "quantization": {"rtn": False, "gptq": True, "awq": True},
}

LAYERS_LIKE = (  # where a pattern that backtracks shows it, before a compression runs it
    *("lm_head", "model.layers.31.self_attn.q_proj", "model.layers.31.mlp.down_proj", "model.layers.3.mlp.gate"),
    *("model.language_model.layers.47.block_sparse_moe.experts.127.w2", "model.vision_tower.encoder.layers.0.mlp.fc1"),
    *("model.visual.blocks.26.attn.qkv", "model.layers.60.mlp.shared_experts.gate_up_proj"),
)


def recipe_of(config: Config, variant: Variant) -> RecipeFields | None:
    """Return the fields of a variant's recipe that are set: a field that a later version adds changes no fingerprint.

    None too for one that sets `ignore` alone: it makes nothing, and tells of a made checkpoint what no scheme is about.
    """
    if variant.recipe is None:
        return None
    recipe = cast(RecipeFields, _set(asdict(variant.recipe)))  # of a dataclass with these fields
    if not recipe.keys() - {"ignore"}:
        return None
    if "calibration" in recipe:
        sweep = cast(CalibrationFields, _set(asdict(config.calibration)))
        recipe["calibration"] = _calibrated(sweep, recipe["calibration"])
    if "sparsity" in recipe:
        recipe["sparsity"].setdefault("write_config", wants_sparsity_config(config.engine))
    return recipe


def _calibrated(sweep: CalibrationFields, own: CalibrationFields) -> CalibrationFields:
    """The sweep's calibration with a recipe's own values; a recipe's dataset replaces the sweep's file."""
    found: CalibrationFields = {**sweep, **own}
    if "dataset" in own and "file" not in own:
        found.pop("file", None)
    return found


def _set(fields: dict[str, object]) -> dict[str, object]:
    return {k: _set(v) if isinstance(v, dict) else v for k, v in fields.items() if v is not None}


def problems(name: str, recipe: RecipeFields, activations: Format | None = None) -> list[str]:
    """One line a mistake. `recipe`: config.Recipe's fields that are set; `activations`: of the variant's scheme."""
    where = f"variants.{name}.recipe"
    found, measuring = [], []
    for field, methods in METHODS.items():
        method = (recipe.get(field) or {}).get("method")
        if method is None:
            continue
        if method not in methods:
            hint = did_you_mean(method, list(methods))
            found.append(
                f"{where}.{field}.method: {method!r} cannot be made here{hint}; or set {where}=null and "
                f"variants.{name}.checkpoint= to a published one"
            )
        elif methods[method]:
            measuring.append(method)
    found += _smoothing(where, recipe) + _sparsity(where, recipe) + _quantization(where, recipe)
    if (recipe.get("quantization") or {}).get("kv_cache_scheme"):
        measuring.append("the KV cache's scale")
    if activations is not None and activations.bits < 16 and (not activations.dynamic or activations.scale == "e4m3"):
        measuring.append("the activations' stored scale")  # NVFP4's is the global one
    if measuring and not recipe.get("calibration"):
        needing = " and ".join(measuring)
        found.append(f"{where}.calibration: {needing} must be measured on data; set it ({{}}: the sweep's)")
    if not recipe.get("sparsity") and not recipe.get("quantization"):
        found.append(f"{where}: neither sparsity nor quantization; set one, or recipe=null")
    return found + _calibration(f"{where}.calibration", recipe.get("calibration"))


def ignore_problems(name: str, ignore: Iterable[str]) -> list[str]:
    """Check the patterns of a recipe, also of one that sets `ignore` alone."""
    found, where = [], f"variants.{name}.recipe.ignore"
    for pattern in (entry[3:] for entry in ignore if entry.startswith("re:")):
        try:
            matched = regexes([pattern])
            any([matched(layer) for layer in LAYERS_LIKE])
        except SlowPattern as error:
            found.append(f"{where}: {error}")
        except ValueError as error:
            found.append(f"{where}: re:{error}; set it to a Python regular expression, like re:.*lm_head$")
    return found


def _calibration(where: str, calibration: CalibrationFields | None) -> list[str]:
    """The sweep's and the recipe's settings together; what is null in both is not there."""
    if calibration is None:
        return []
    found = [] if {"file", "dataset"} & calibration.keys() else [f"{where}: neither file nor dataset; set one"]
    lowest: dict[Literal["samples", "max_tokens", "seed"], int] = {"samples": 1, "max_tokens": 1, "seed": 0}
    return found + [
        f"{where}.{field}: a number, at least {low}"
        for field, low in lowest.items()
        if calibration.get(field) is None or calibration[field] < low
    ]


def _smoothing(where: str, recipe: RecipeFields) -> list[str]:
    smoothing = recipe.get("smoothing")
    if smoothing and not 0 <= smoothing["strength"] <= 1:
        return [f"{where}.smoothing.strength={smoothing['strength']:g}: from 0 (nothing is moved) to 1"]
    return []


def _sparsity(where: str, recipe: RecipeFields) -> list[str]:
    sparsity, quantization = recipe.get("sparsity"), recipe.get("quantization") or {}
    if not sparsity:
        return []
    found = []
    if sparsity["pattern"] != "2:4":
        found.append(f"{where}.sparsity.pattern={sparsity['pattern']}: only 2:4 has kernels")
    if quantization.get("method") == "gptq":  # llm-compressor 0.13 has no mask in gptq_quantize.py
        found.append(
            f"{where}.quantization.method: gptq puts its error into the pruned weights, and 2:4 is lost; use rtn or awq"
        )
    return found


def _quantization(where: str, recipe: RecipeFields) -> list[str]:
    quantization = recipe.get("quantization")
    if not quantization:
        return []
    if (quantization.get("scheme") is None) == (quantization.get("weights") is None):
        return [f"{where}.quantization: set scheme (a preset: W4A16, FP8_DYNAMIC, ...) or weights, one of them"]
    return []


def group_size(recipe: RecipeFields | None) -> int | None:
    """Return the group size of the weights, where the recipe says it."""
    quantization = (recipe or {}).get("quantization") or {}
    return quantization.get("group_size") or (quantization.get("weights") or {}).get("group_size")


def misfit(recipe: RecipeFields | None, config: ModelConfig | None) -> str | None:
    """Why groups of inputs cannot cut this model's layers; None when they can, or config.json does not say."""
    size = group_size(recipe)
    if not recipe or not size or not config:
        return None
    inputs = linear_inputs(config.decoder)
    cut = {layer: width for layer, width in inputs.items() if not matches(layer, tuple(recipe.get("ignore") or ()))}
    wrong = {layer: width for layer, width in cut.items() if width % size}
    if not wrong:
        return None
    layer, width = next(iter(wrong.items()))
    common = gcd(*cut.values())
    fitting = [power for power in (128, 64, 32, 16) if common % power == 0]
    instead = f"; {fitting[0]} divides all of this model's" if fitting else ""
    return f"group size {size} does not divide {width}, the inputs of {layer.rpartition('.')[2]}{instead}"


def linear_inputs(model: Decoder) -> dict[str, int]:
    """Inputs of each kind of linear layer by the usual names, from config.json; without those that it does not tell."""
    hidden, heads = model.hidden_size, model.num_attention_heads
    head = model.head_dim or (hidden // heads if hidden and heads else None)
    inner = model.moe_intermediate_size or model.intermediate_size
    found = {
        "model.layers.0.self_attn.q_proj": hidden,
        "model.layers.0.self_attn.o_proj": heads * head if heads and head else None,
        "model.layers.0.mlp.gate_proj": hidden,
        "model.layers.0.mlp.down_proj": inner,
    }
    return {layer: width for layer, width in found.items() if width}
