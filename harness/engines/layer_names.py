"""Many layer names as a few: `model.layers.0-31.mlp.down_proj`."""

import re
from collections.abc import Iterable


def compact(layers: Iterable[str]) -> list[str]:
    """`model.layers.0-31.mlp.down_proj` for 32 names that differ in their first number."""
    groups: dict[tuple[str, str], list[int]] = {}
    plain: list[str] = []
    for layer in layers:
        if match := re.match(r"(.*?\.)(\d+)(\..*|$)", layer):
            groups.setdefault((match[1], match[3]), []).append(int(match[2]))
        else:
            plain.append(layer)
    return plain + [f"{head}{_ranges(numbers)}{tail}" for (head, tail), numbers in groups.items()]


def expand(names: Iterable[str]) -> list[str]:
    """The layer names that `compact` made these of."""
    layers: list[str] = []
    for name in names:
        if match := re.match(r"(.*?\.)(\d[\d,-]*)(\..*|$)", name):
            spans = [span.partition("-") for span in match[2].split(",")]
            numbers = [n for first, _, last in spans for n in range(int(first), int(last or first) + 1)]
            layers += [f"{match[1]}{number}{match[3]}" for number in numbers]
        else:
            layers.append(name)
    return layers


def _ranges(numbers: list[int]) -> str:
    """``0-3,5,7-9``"""
    spans: list[list[int]] = []
    for number in sorted(set(numbers)):
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in spans)
