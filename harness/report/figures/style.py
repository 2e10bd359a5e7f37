"""One colour, marker and dash a variant on the whole page.

Colours: M. Okabe and K. Ito 2008, Color Universal Design, which colour-blind readers can tell apart. The baseline has
the ink colour. A dark page takes a lighter tone of the same hue. Figures name colours by token (``@v2``); page.js
looks the token up in the style sheet, so a change of theme recolours them.
"""

from dataclasses import dataclass

from harness.records.manifest import Variant

INK = ("#1b1e23", "#e9ebee")
COLOURS = (  # light page, dark page
    ("#0072B2", "#4AA8E8"),  # blue
    ("#D55E00", "#F5853A"),  # vermillion
    ("#009E73", "#2BC59A"),  # bluish green
    ("#CC79A7", "#E3A3C9"),  # reddish purple
    ("#E69F00", "#F5B83D"),  # orange
    ("#56B4E9", "#9AD4F5"),  # sky blue
)
MARKERS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "pentagon", "hexagram", "star")
DASHES = ("4px,3px", "8px,4px", "2px,3px", "10px,3px,2px,3px", "6px,2px,2px,2px", "14px,4px", "1px,2px")
SHAPES = {  # the same markers as paths in a box of 16 x 16, for the legend
    "circle": "M8 3a5 5 0 1 0 .01 0z",
    "square": "M3.5 3.5h9v9h-9z",
    "diamond": "M8 2l6 6-6 6-6-6z",
    "triangle-up": "M8 2.5l6 10.5H2z",
    "triangle-down": "M8 13.5L2 3h12z",
    "triangle-right": "M2.5 2L13 8l-10.5 6z",  # arrows
    "triangle-left": "M13.5 2L3 8l10.5 6z",
    "pentagon": "M8 2l6 4.4-2.3 7H4.3L2 6.4z",
    "hexagram": "M8 2l1.7 3h3.5l-1.7 3 1.7 3H9.7L8 14l-1.7-3H2.8l1.7-3-1.7-3h3.5z",
    "star": "M8 1.5l1.9 4.3 4.6.5-3.4 3.1 1 4.6L8 11.6 3.9 14l1-4.6L1.5 6.3l4.6-.5z",
}


@dataclass(frozen=True)
class VariantStyle:
    """`light` and `dark` are the colours behind the token; `dash` is the variant's broken line (p99)."""

    token: str
    light: str
    dark: str
    marker: str
    dash: str

    @property
    def path(self) -> str:
        return SHAPES[self.marker]


def styles(variants: dict[str, Variant], baseline: str) -> dict[str, VariantStyle]:
    """By variant, in the sweep's order; past six colours they come again with other markers.

    A deployment has the colour of the variant that it deploys, and its own marker.
    """
    found: dict[str, VariantStyle] = {}
    taken = 0
    for position, (name, variant) in enumerate(variants.items()):
        if deployed := found.get(variant.deployment_of or ""):
            light, dark = deployed.light, deployed.dark
        else:
            light, dark = INK if name == baseline else COLOURS[taken % len(COLOURS)]
            taken += name != baseline
        marker = MARKERS[position % len(MARKERS)]
        found[name] = VariantStyle(f"@v{position}", light, dark, marker, DASHES[position % len(DASHES)])
    return found
