"""Is a checkpoint what a variant's scheme says? Pure."""

from collections.abc import Iterator

from harness.checkpoints.inspection.check import broken_24, format_problems
from harness.checkpoints.inspection.claims import matches
from harness.checkpoints.inspection.inspection import Inspection
from harness.checkpoints.inspection.layer import Layer
from harness.checkpoints.inspection.problems import Problem
from harness.config import Variant
from harness.deployments import axes_of
from harness.schemes import number, weight_words, words

DO = "correct the variant's scheme, or its checkpoint or recipe"


def against(inspection: Inspection, name: str, variant: Variant) -> list[Problem]:
    """The layers that a scheme is about: linear, and named neither by the checkpoint's ignore nor by the recipe's."""
    ignore = tuple(variant.recipe.ignore) if variant.recipe else ()
    inner = [
        layer
        for layer in inspection.linear
        if layer.kind != "lm_head" and not inspection.claims.ignores(layer.name) and not matches(layer.name, ignore)
    ]
    source = f"variant {name}"
    found = list(_weights(inspection, inner, source, variant))
    if not found:
        found += _activations(inspection, source, variant)
    cached = any(argument.startswith("--kv-cache-dtype") for argument in variant.engine_args)
    cached = cached or axes_of(variant).kv_cache_dtype is not None
    if variant.scheme.kv_cache and not cached and not inspection.claims.kv_cache:
        what = f"{source} says a KV cache in {words(variant.scheme.kv_cache)}, and nothing makes the engine keep it so"
        found.append(Problem("no_kv_cache", "config.json", what, "add --kv-cache-dtype to engine_args"))
    if variant.scheme.sparsity == "2:4":
        found += broken_24(inner, f"{source} is")
    elif inspection.sparse24:
        what = f"its weights are 2:4 sparse, which {source} does not say"
        found.append(Problem("unsaid_24", "the checkpoint", what, 'set its scheme.sparsity="2:4"', "caution"))
    return found


def in_flight(variant: Variant) -> bool:
    """Does the engine quantize while it loads?"""
    flags = ("--quantization", "-q")
    return any(argument in flags or argument.startswith("--quantization=") for argument in variant.engine_args)


def _weights(inspection: Inspection, inner: list[Layer], source: str, variant: Variant) -> Iterator[Problem]:
    wanted = variant.scheme.weights
    quantized = [layer for layer in inner if layer.quantized]
    if wanted.bits >= 16:  # the engine casts between 16-bit floats: --dtype
        for layer in quantized:
            yield Problem(
                "wrong_format", layer.name, f"{number(layer.format)} where {source} says {number(wanted)}", DO
            )
        return
    if not quantized:
        if in_flight(variant):
            return
        stored = ", ".join(sorted({number(layer.format) for layer in inspection.linear})) or "nothing"
        what = f"{source} says {weight_words(wanted)}, and its linear layers are {stored}"
        yield Problem("unquantized", "the checkpoint", what, "give the variant a recipe or the quantized checkpoint")
        return
    for layer in inner:
        if not layer.quantized:
            what = f"{number(layer.format)} where {source} says {weight_words(wanted)}"
            yield Problem("unquantized", layer.name, what, "quantize it, or name it in recipe.ignore")
        else:
            yield from format_problems(layer, wanted, source, DO)


def _activations(inspection: Inspection, source: str, variant: Variant) -> Iterator[Problem]:
    """Activations are not in the file: what config.json makes the engine compute."""
    wanted, said = variant.scheme.activations, {words(c.activations): c for _, c in inspection.claims.groups
                                                if c.activations}  # fmt: skip
    if not inspection.claims.groups or not inspection.claims.known:
        return
    if wanted.bits < 16 and not said:
        what = f"{source} says activations {words(wanted)}, and config.json quantizes weights alone"
        yield Problem("wrong_activations", "config.json", what, DO)
    for text, claim in said.items():
        have = claim.activations
        if (have.bits, have.type, have.dynamic) != (wanted.bits, wanted.type, wanted.dynamic):
            what = f"{source} says activations {words(wanted)}, and {claim.source} says {text}"
            yield Problem("wrong_activations", "config.json", what, DO)
