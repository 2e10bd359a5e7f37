"""What a configuration claims of each layer, as the engines that read it would decide."""

from collections.abc import Iterator
from dataclasses import dataclass

from harness.checkpoints.inspection.matching import Predicate, aliases, every, matches
from harness.config.variants import Format

__all__ = ["Claim", "Claims", "Reading", "Rule", "matches"]


@dataclass(frozen=True)
class Claim:
    weights: Format
    activations: Format | None
    source: str  # the key that says it
    by: str = "class"  # name | pattern | class: how it reaches a layer


@dataclass(frozen=True)
class Rule:
    matches: Predicate
    claim: Claim | None  # None: the layer is left as it is


Reading = tuple[Rule, ...]  # the first rule that matches decides; none: the layer is left as it is


@dataclass(frozen=True)
class Claims:
    """`readings`: how engines and their versions read the configuration. A layer is as claimed if one of them says so.
    `groups` and `ignore`: the same in words: [(targets, claim)] and what is left out.
    """

    method: str | None = None  # compressed-tensors, gptq, awq, bitsandbytes, fp8, mxfp4, modelopt; None: not quantized
    groups: tuple[tuple[tuple[str, ...], Claim], ...] = ()
    ignore: tuple[str, ...] = ()
    sparsity: str | None = None  # "2:4", from sparsity_config
    sparsity_format: str | None = None  # dense | sparse-24-bitmask | marlin-24
    kv_cache: Format | None = None
    known: bool = True  # False: a method whose layers cannot be checked
    readings: tuple[Reading, ...] = ()
    pruned: Predicate = every  # the layers that sparsity_config is about
    from_files: bool = False  # no exceptions are listed, and engines take them from the files
    activations_unsaid: bool = False  # the engine's kernel decides, not the configuration
    tied: bool = False  # lm_head is the embedding, whatever the file holds under its name
    decoder_layers: int | None = None  # num_hidden_layers: later ones are loaded for speculative decoding alone

    def outcomes(self, layer: str) -> Iterator[Claim | None]:
        """What a linear layer should hold, in every reading, the literal ones first; None: unquantized."""
        for rule in self._decisions(layer):
            yield rule.claim if rule else None

    def ignores(self, layer: str) -> bool:
        """Some reading finds the layer on the list of exceptions."""
        return any(rule is not None and rule.claim is None for rule in self._decisions(layer))

    def best(self, layer: str, stored: Format) -> Claim | None:
        """The claim that speaks of such numbers, else the first."""
        found = []
        for claim in self.outcomes(layer):
            if claim is None:
                continue
            if (claim.weights.bits, claim.weights.type) == (stored.bits, stored.type):
                return claim
            found.append(claim)
        return found[0] if found else None

    def sparse(self, layer: str) -> bool:
        return self.sparsity == "2:4" and self.pruned(layer)

    def _decisions(self, layer: str) -> Iterator[Rule | None]:
        for names in ((layer,), aliases(layer)):
            for reading in self.readings:
                yield next((rule for rule in reading if any(map(rule.matches, names))), None)
