"""Variants for checkpoints: the catalogue's where it has their scheme, else variants of the sweep file itself. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from harness.config.schemes import number
from harness.config.variants import Needs, Scheme, Variant
from harness.draft.checkpoints import Found
from harness.untrusted.names import file_name


@dataclass(frozen=True)
class Drafted:
    """`catalogue`: `name` is a variant of conf/variant, of which `group_size` alone may differ."""

    name: str
    label: str
    found: Found
    catalogue: bool
    needs: Needs
    group_size: int | None = None  # in place of the catalogue's

    @property
    def scheme(self) -> Scheme:
        return self.found.scheme


def drafted(found: Sequence[Found], catalogue: Mapping[str, Variant]) -> list[Drafted]:
    """One variant a checkpoint, in the same order. A second checkpoint of a scheme is named after itself."""
    made: list[Drafted] = []
    for checkpoint in found:
        taken = {variant.name for variant in made}
        name = next(_fitting(checkpoint, catalogue), None)
        if name is not None and name not in taken:
            known = catalogue[name]
            asked, has = checkpoint.scheme.weights.group_size, known.scheme.weights.group_size
            own = asked if asked != has else None
            made.append(Drafted(name, known.label, checkpoint, True, known.needs, own))
        else:
            needs = catalogue[name].needs if name else Needs()
            label = catalogue[name].label if name else _label(checkpoint)
            label = f"{label}, {checkpoint.name}" if name in taken else label
            made.append(Drafted(_free(checkpoint.name, taken | set(catalogue)), label, checkpoint, False, needs))
    return made


def _fitting(found: Found, catalogue: Mapping[str, Variant]) -> Iterator[str]:
    """Names of the catalogue with this scheme, the group size aside: llama.cpp's variants for GGUF files, if it has it.

    The shortest first, which is the scheme's own: w4a16 before w4a16_rtn.
    """
    wanted = _ungrouped(found.scheme)
    for name in sorted(catalogue, key=lambda name: (_for_gguf(catalogue[name]) != found.is_gguf, len(name), name)):
        known = catalogue[name]
        if _for_gguf(known) != found.is_gguf and (found.method or not found.is_gguf):
            continue
        if found.is_gguf and found.method and not name.startswith(f"gguf_{_gguf_type(found.method).lower()}"):
            continue
        if _ungrouped(known.scheme) == wanted and (found.method == "bitsandbytes") == _bitsandbytes(known):
            yield name


def _for_gguf(variant: Variant) -> bool:
    return variant.needs.engine == "llamacpp"


def _bitsandbytes(variant: Variant) -> bool:
    return "bitsandbytes" in variant.source


def _gguf_type(method: str) -> str:
    return method.removeprefix("GGUF ")


def _ungrouped(scheme: Scheme) -> Scheme:
    return replace(scheme, weights=replace(scheme.weights, group_size=None))


def _label(found: Found) -> str:
    """``FP8``, ``INT4``, ``2:4 MXFP4``, ``Q5_K``"""
    if found.is_gguf and found.method:
        return _gguf_type(found.method)
    said = number(found.scheme.weights).split()[0].upper()
    return f"{found.scheme.sparsity} {said}" if found.scheme.sparsity else said


def _free(name: str, taken: set[str]) -> str:
    plain = re.sub(r"[^a-z0-9]+", "_", file_name(name).lower()).strip("_") or "variant"
    plain = plain if not plain[0].isdigit() else f"v_{plain}"
    chosen, count = plain, 2
    while chosen in taken:
        chosen, count = f"{plain}_{count}", count + 1
    return chosen
