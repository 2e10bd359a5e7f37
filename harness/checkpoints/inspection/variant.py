"""Is a checkpoint what a variant's scheme says? Pure.

A scheme is about the layers that the checkpoint's own configuration quantizes: what it leaves out (attention of
gpt-oss, routers, lm_head) is judged by check.py alone. Most of their weights must be in the scheme's format.
"""

from collections.abc import Iterator

from harness.checkpoints.inspection.check import broken_24, format_problems
from harness.checkpoints.inspection.claims import matches
from harness.checkpoints.inspection.inspection import Inspection
from harness.checkpoints.inspection.layer import Layer
from harness.checkpoints.inspection.problems import Problem
from harness.checkpoints.inspection.unlisted import router
from harness.config.deployments import axes_of
from harness.config.schemes import number, weight_words, words
from harness.config.variants import Variant

PARTLY, PARTLY_SPARSE = 0.5, 0.9  # share of the linear weights; 2:4 promises less memory and time of all of them
DO = "correct the variant's scheme, or its checkpoint or recipe"


def against(inspection: Inspection, name: str, variant: Variant) -> list[Problem]:
    """The layers that a scheme is about: linear, and named neither by the checkpoint's ignore nor by the recipe's."""
    ignore = tuple(variant.recipe.ignore) if variant.recipe else ()
    inner = [
        layer
        for layer in inspection.linear
        if layer.kind != "lm_head" and not router(layer) and not matches(layer.name, ignore)
        and (layer.quantized or not inspection.claims.ignores(layer.name))
    ]  # fmt: skip
    source = f"variant {name}"
    found = list(_weights(inspection, inner, source, variant))
    if not any(problem.level == "error" for problem in found):
        found += _activations(inspection, inner, source, variant)
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
        if variant.scheme.sparsity and inner:
            yield from _partly(inspection, sum(layer.count for layer in inner), "pruned", PARTLY_SPARSE)
        return
    if not quantized:
        if in_flight(variant):
            return
        stored = ", ".join(sorted({number(layer.format) for layer in inspection.linear})) or "nothing"
        what = f"{source} says {weight_words(wanted)}, and its linear layers are {stored}"
        yield Problem("unquantized", "the checkpoint", what, "give the variant a recipe or the quantized checkpoint")
        return
    wrong = {layer.name: list(format_problems(layer, wanted, source, DO)) for layer in quantized}
    deviating = [layer for layer in quantized if any(problem.level == "error" for problem in wrong[layer.name])]
    held, left = sum(layer.count for layer in quantized), sum(layer.count for layer in deviating)
    if deviating and 2 * left < held and _mixed(inspection, quantized, deviating):
        formats = ", ".join(sorted({weight_words(layer.format) for layer in deviating}))
        what = f"{left / held:.0%} of its quantized weights are {formats}, where {source} says {weight_words(wanted)}"
        yield Problem("mixed", "the checkpoint", what, "its configuration says so; name it in the label", "caution")
    else:
        for layer in quantized:
            yield from wrong[layer.name]
    yield from _partly(inspection, held, "quantized", PARTLY_SPARSE if variant.scheme.sparsity else PARTLY)


def _partly(inspection: Inspection, held: int, how: str, least: float) -> Iterator[Problem]:
    whole = sum(layer.count for layer in inspection.linear if layer.kind != "lm_head")
    if held < least * whole:
        what = f"{held / whole:.0%} of its linear weights are {how}, the rest is left out by its configuration"
        yield Problem("partly", "the checkpoint", what, f"its speed is that of a partly {how} model", "caution")


def _mixed(inspection: Inspection, quantized: list[Layer], deviating: list[Layer]) -> bool:
    """Does the configuration itself give these layers another format than the rest?"""
    claims, names = inspection.claims, {layer.name for layer in deviating}

    def sources(layers: list[Layer]) -> set[str | None]:
        found = (claims.best(layer.name, layer.format) for layer in layers)
        return {claim.source if claim else None for claim in found}

    return claims.known and not sources(deviating) & sources([n for n in quantized if n.name not in names])


def _activations(inspection: Inspection, inner: list[Layer], source: str, variant: Variant) -> Iterator[Problem]:
    """Activations are not in the file: what config.json makes the engine compute, for most of the weights."""
    wanted, claims = variant.scheme.activations, inspection.claims
    if not claims.groups or not claims.known:
        return
    held: dict[str, int] = {}
    claimed = {}
    for layer in inner:
        if layer.quantized and (claim := claims.best(layer.name, layer.format)):
            held[claim.source] = held.get(claim.source, 0) + layer.count
            claimed[claim.source] = claim
    claim = claimed[max(held, key=held.__getitem__)] if held else claims.groups[0][1]
    have = claim.activations
    if have is None and claims.activations_unsaid:
        if wanted.bits < 16:
            what = f"{source} says activations {words(wanted)}, and config.json does not say any"
            yield Problem("unchecked", "config.json", what, "the engine's kernel decides", "unchecked")
    elif have is None and wanted.bits < 16:
        what = f"{source} says activations {words(wanted)}, and config.json quantizes weights alone"
        yield Problem("wrong_activations", "config.json", what, DO)
    elif have is not None and (have.bits, have.type, have.dynamic) != (wanted.bits, wanted.type, wanted.dynamic):
        what = f"{source} says activations {words(wanted)}, and {claim.source} says {words(have)}"
        yield Problem("wrong_activations", "config.json", what, DO)
