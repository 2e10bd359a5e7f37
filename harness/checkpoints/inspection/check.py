"""Does the file hold what config.json says it holds? Contradictions, layer by layer. Pure: measurements come in."""

from collections.abc import Iterator

from harness.checkpoints.inspection.claims import Claim, Claims
from harness.checkpoints.inspection.granularity import fits
from harness.checkpoints.inspection.layer import Layer
from harness.checkpoints.inspection.problems import Problem
from harness.checkpoints.inspection.unlisted import Unlisted, router
from harness.checkpoints.inspection.values import Measured, Scales
from harness.config.schemes import granularity_words, number, weight_words
from harness.config.variants import Format

AGAIN = "compress it again, or correct quantization_config in config.json"


def contradictions(layers: list[Layer], claims: Claims) -> list[Problem]:
    linear = [layer for layer in layers if not layer.embedding]
    found: list[Problem] = []
    if claims.groups and linear and not any(layer.quantized for layer in layers):
        stored = ", ".join(sorted({number(layer.format) for layer in linear}))
        claim = weight_words(claims.groups[0][1].weights)
        what = f"config.json claims {claim} ({claims.method}), and all {len(linear)} linear layers are {stored}"
        found.append(Problem("unquantized", "the checkpoint", what,
                             "serve it as what it is (remove quantization_config), or quantize it"))  # fmt: skip
    elif claims.known:
        unlisted = Unlisted(linear, claims)
        for layer in linear:
            found += _format(layer, claims, unlisted)
    for layer in layers:
        found += _values(layer)
    return found + list(_sparsity(linear, claims))


def _format(layer: Layer, claims: Claims, unlisted: Unlisted) -> Iterator[Problem]:
    """The layer must be what one reading of the configuration makes of it."""
    if not layer.quantized:
        yield from _unquantized(layer, claims, unlisted)
        return
    found = None
    for claim in claims.outcomes(layer.name):
        wrong = [] if claim is None else list(_against(layer, claim))
        if claim is not None and (found is None or len(wrong) < len(found)):
            found = wrong
        if found == []:
            return
    yield from _not_claimed(layer, claims) if found is None else found


def _unquantized(layer: Layer, claims: Claims, unlisted: Unlisted) -> Iterator[Problem]:
    if claims.method is None:
        return
    claim = None
    for outcome in claims.outcomes(layer.name):
        if outcome is None or outcome.weights.bits >= 16:
            return
        claim = claim or outcome
    if claim is None:
        return
    said = f"{number(layer.format)} where {claim.source} claims {weight_words(claim.weights)}"
    if why := unlisted.why(layer, claim):
        yield Problem("unchecked", layer.name, said, why, "unchecked")
    else:
        yield Problem("unquantized", layer.name, f"{said}, and ignore does not name it",
                      "add it to ignore, or quantize it")  # fmt: skip


def _not_claimed(layer: Layer, claims: Claims) -> Iterator[Problem]:
    if claims.method is None:
        what, do = f"{number(layer.format)}, and config.json has no quantization_config", "add it: no engine knows"
    elif claims.ignores(layer.name):
        what, do = f"{number(layer.format)}, and config.json's ignore says it was left unquantized", AGAIN
    else:
        what, do = f"{number(layer.format)}, and no target of quantization_config names it", AGAIN
    yield Problem("not_claimed", layer.name, what, do)


def _against(layer: Layer, claim: Claim) -> Iterator[Problem]:
    yield from format_problems(layer, claim.weights, claim.source, AGAIN)
    static = claim.activations is not None and not claim.activations.dynamic
    if static and not {"input_scale", "activation_scale", "input_global_scale"} & set(layer.parts):
        yield Problem("no_input_scale", layer.name, "no input_scale, and its activations are claimed static", AGAIN)


def format_problems(layer: Layer, wanted: Format, source: str, do: str) -> Iterator[Problem]:
    """The layer's numbers and scales against a format that someone claims for it."""
    have, said = layer.format, f"{source} claims {weight_words(wanted)}"
    if (have.bits, have.type) != (wanted.bits, wanted.type):
        yield Problem("wrong_format", layer.name, f"{number(have)} where {said}", do)
        return
    if layer.layout == "packed" and have.symmetric != wanted.symmetric:
        points = "no zero points" if have.symmetric else "zero points"
        yield Problem("wrong_format", layer.name, f"{points} where {said}", do)
    if not layer.quantized or layer.layout == "marlin_24":
        return
    if layer.scale is None:
        yield Problem("no_scale", layer.name, f"no scales where {said}", do)
        return
    scales = f"scales {list(layer.scale.shape)} of weights {list(layer.shape)}"
    if have.granularity is None:
        if layer.fused and layer.layout != "plain":  # the order of packed experts is not in the file
            yield Problem("unchecked", layer.name, f"{scales}", "their order is the engine's", "unchecked")
        else:
            yield Problem("bad_scale_shape", layer.name, f"{scales} fit no granularity; {said}", do)
    elif wanted.granularity and granularity_words(have) != granularity_words(wanted):
        rows = layer.layout not in ("gptq", "awq", "bnb4")
        if not (rows and fits(wanted, layer.scale_shape, layer.matrix)):  # one shape may fit two readings
            yield Problem("wrong_granularity", layer.name, f"{scales}: {granularity_words(have)} where {said}", do)


def _values(layer: Layer) -> Iterator[Problem]:
    if layer.measured.not_finite:
        what = f"{layer.measured.not_finite} weights are NaN or infinite"
        yield Problem("not_finite", layer.name, what, "compress it again")
    yield from scale_problems(layer.name, layer.scale_facts, may_be_negative=layer.layout in ("gptq", "awq"))


def scale_problems(name: str, facts: dict[str, Scales], may_be_negative: bool = False) -> Iterator[Problem]:
    """Scales are finite and positive. FP8 scales of small groups round to zero, and AutoRound's may be negative."""
    for part, scales in facts.items():
        faults = [
            (scales.not_finite, "NaN or infinite", "error"),
            (scales.zero, "0: what they scale is lost", "caution" if scales.dtype == "F8_E4M3" else "error"),
            (scales.negative, "negative", "caution" if may_be_negative else "error"),
        ]
        for count, how, level in faults:
            if count:
                yield Problem("bad_scale", name, f"{count} of {part} are {how}", "compress it again", level)


def _sparsity(linear: list[Layer], claims: Claims) -> Iterator[Problem]:
    """Claimed 2:4 must be; 2:4 in most layers and not in some is said, whether or not it was claimed."""
    measurable = [layer for layer in linear
                  if layer.measured.groups and layer.kind != "lm_head" and not router(layer)]  # fmt: skip
    claimed = [layer for layer in measurable if claims.sparse(layer.name)]
    yield from broken_24(claimed, "sparsity_config claims it")
    if claims.sparsity:
        return
    inner = [layer for layer in measurable if layer.quantized or not claims.ignores(layer.name)]
    sparse = sum(layer.sparse24 for layer in inner)
    if 2 * sparse > len(inner):
        yield from broken_24(inner, f"{sparse} of {len(inner)} layers are", "caution")


def broken_24(layers: list[Layer], why: str, level: str = "error") -> Iterator[Problem]:
    """One problem a layer that should be 2:4 and is not; a single one where none of them is."""
    measured = [layer for layer in layers if layer.measured.groups]
    broken = [layer for layer in measured if not layer.sparse24]
    if len(broken) == len(measured) > 1:
        total = sum((layer.measured for layer in measured), Measured())
        share = f"{total.sparse_groups / total.groups:.1%} of their groups of 4 have two zeros"
        what = f"none of its {len(measured)} linear layers is 2:4, and {why}: {share}"
        yield Problem("broken_24", "the checkpoint", what, "prune it, or correct the claim", level)
        return
    for layer in broken:
        full = layer.measured.groups - layer.measured.sparse_groups
        where = f"{layer.name} ({full} of {layer.measured.groups} groups of 4 have more than two values)"
        yield Problem("broken_24", where, f"not 2:4, and {why}", "prune it again", level)
