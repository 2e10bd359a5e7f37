"""A recipe as llm-compressor's modifiers, in the order in which they run: smoothing, pruning, quantization."""

from difflib import get_close_matches

import pruning


def build(spec: dict, model) -> list:
    """Empty for a recipe that prunes by magnitude and does no more."""
    return [*_smoothing(spec, model), *_sparsity(spec, model), *_quantization(spec, model)]


def _smoothing(spec: dict, model) -> list:
    from llmcompressor.modifiers.transform.smoothquant import SmoothQuantModifier
    from llmcompressor.modifiers.transform.smoothquant.dynamic_mappings import SMOOTHQUANT_DYNAMIC_MAPPING_REGISTRY
    from llmcompressor.modifiers.transform.smoothquant.utils import MAPPINGS_REGISTRY

    if not (smoothing := spec.get("smoothing")):
        return []
    mappings = _mappings(spec, model, "SmoothQuant", {*MAPPINGS_REGISTRY, *SMOOTHQUANT_DYNAMIC_MAPPING_REGISTRY})
    if mappings:
        mappings = [(mapping["balance_layers"], mapping["smooth_layer"]) for mapping in mappings]
    return [SmoothQuantModifier(smoothing_strength=smoothing["strength"], mappings=mappings)]


def _sparsity(spec: dict, model) -> list:
    from llmcompressor.modifiers.pruning import SparseGPTModifier, WandaPruningModifier

    sparsity = spec.get("sparsity")
    if not sparsity or sparsity["method"] == "magnitude":  # its modifier has no N:M masks: pruning.by_magnitude
        return []
    method = {"sparsegpt": SparseGPTModifier, "wanda": WandaPruningModifier}[sparsity["method"]]
    # Layers by name: its own `ignore` sees the names of linear layers with a dot behind them, and misses most patterns.
    layers = list(pruning.prunable(model, spec["ignore"]))
    return [method(sparsity=0.5, mask_structure=sparsity["pattern"], targets=layers)]


def _quantization(spec: dict, model) -> list:
    from llmcompressor.modifiers.gptq import GPTQModifier
    from llmcompressor.modifiers.quantization import QuantizationModifier
    from llmcompressor.modifiers.transform.awq import AWQMapping, AWQModifier
    from llmcompressor.modifiers.transform.awq.dynamic_mappings import AWQ_DYNAMIC_MAPPING_REGISTRY
    from llmcompressor.modifiers.transform.awq.mappings import AWQ_MAPPING_REGISTRY

    if not (quantization := spec.get("quantization")):
        return []
    common = {"config_groups": {"group_0": _scheme(quantization)}, "ignore": spec["ignore"]}
    if cache := quantization.get("kv_cache_scheme"):
        common["kv_cache_scheme"] = cache
    if quantization["method"] == "gptq":
        return [GPTQModifier(**common)]
    if quantization["method"] == "rtn":
        return [QuantizationModifier(**common)]
    mappings = _mappings(spec, model, "AWQ", {*AWQ_MAPPING_REGISTRY, *AWQ_DYNAMIC_MAPPING_REGISTRY})
    if mappings:
        mappings = [AWQMapping(**mapping) for mapping in mappings]
    _pin_nothing_without_an_accelerator()
    return [AWQModifier(mappings=mappings), QuantizationModifier(**common)]  # scales first, then round to nearest


def _pin_nothing_without_an_accelerator() -> None:
    """llm-compressor 0.13's AWQ pins what it will copy to an accelerator; torch refuses to where there is none."""
    import torch
    from llmcompressor.pipelines.cache import IntermediatesCache

    if not torch.accelerator.is_available():
        IntermediatesCache.pin_memory = lambda self, batch_index, input_names=None: None


def _scheme(quantization: dict):
    """compressed-tensors' QuantizationScheme: the preset, or what the recipe spells out; with its group size."""
    from compressed_tensors.quantization import QuantizationScheme, is_preset_scheme, preset_name_to_scheme
    from compressed_tensors.quantization.quant_scheme import PRESET_SCHEMES

    name, group_size = quantization.get("scheme"), quantization.get("group_size")
    if name is None:
        weights, activations = quantization.get("weights"), quantization.get("activations")
        scheme = QuantizationScheme(targets=["Linear"], weights=weights, input_activations=activations)
    elif is_preset_scheme(name):
        scheme = preset_name_to_scheme(name, ["Linear"])
    else:
        close = get_close_matches(name.upper(), PRESET_SCHEMES, n=1)
        hint = f"did you mean {close[0]}?" if close else "it has " + ", ".join(sorted(PRESET_SCHEMES))
        raise SystemExit(f"quantization.scheme={name}: llm-compressor has no preset of that name; {hint}")
    if group_size and scheme.weights and scheme.weights.group_size:
        scheme.weights.group_size = group_size
    types = [args and args.type for args in (scheme.weights, scheme.input_activations)]
    if types == ["int", "float"] and scheme.weights.num_bits < 8:
        scheme.format = "pack-quantized"  # vLLM's W4A8 FP8 reads words of eight values; saving would choose int8
    return scheme


def _mappings(spec: dict, model, method: str, known: set[str]) -> list[dict] | None:
    """The recipe's own mappings, or None where llm-compressor knows those of the architecture.

    For another architecture it falls back on Llama's without a word. Where a model's norms sit elsewhere (OLMo 2 norms
    the outputs of its blocks) these scale what nothing undoes, and where names differ AWQ is plain rounding.
    """
    from compressed_tensors.utils import match_named_modules

    mappings, architecture = spec.get("mappings"), type(model).__name__
    for mapping in mappings or []:
        for pattern in [mapping["smooth_layer"], *mapping["balance_layers"]]:
            if not any(match_named_modules(model, [pattern])):
                raise SystemExit(f"recipe.mappings: no layer of {architecture} is named {pattern}")
    if mappings is None and architecture not in known:
        raise SystemExit(
            f"{method} does not know which layers of {architecture} to scale together; set recipe.mappings, or take "
            "a method without (gptq, rtn)"
        )
    return mappings
