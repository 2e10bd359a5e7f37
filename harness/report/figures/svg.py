"""A figure as a small SVG file, for release notes: no browser, no scripts, the same data as on the page.

It draws what the figures of this package use of plotly: scatter traces, error bars, linear, logarithmic and category
axes, horizontal and vertical limit lines. It has its own panel behind it and follows the reader's light or dark
scheme, so that it can be read on either of GitHub's themes, whichever the scheme is.
"""

from collections.abc import Callable
from dataclasses import dataclass
from html import escape, unescape
from math import ceil, floor, log10
from typing import Any

from harness.report.figures.figures import Figure, Spec
from harness.report.figures.labels import offset
from harness.report.figures.style import SHAPES, VariantStyle

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, BOTTOM = 66, 18, 52
ROW = 22  # of the legend
LETTER = 7.0  # mean width of one at 12 px
COLOURS = {  # light, dark; as in page.css
    "page": ("#ffffff", "#14171b"),
    "ink": ("#1b1e23", "#e9ebee"),
    "muted": ("#5d6570", "#a0a8b3"),
    "rule": ("#c9ced6", "#3c434d"),
    "grid": ("#e8ebef", "#282d35"),
    "bad": ("#a8323e", "#ff8b94"),
}
# What plotly takes where a figure does not say it.
TRACE: Spec = {"meta": None, "line": {}, "marker": {}, "error_x": {}, "error_y": {}, "text": (), "opacity": 1}
LINE: Spec = {"shape": "linear", "dash": "solid"}
MARKER: Spec = {"color": None}
ERRORS: Spec = {"array": (), "arrayminus": ()}
AXIS: Spec = {"categoryarray": (), "ticksuffix": "", "type": "linear", "range": None}
LAYOUT: Spec = {"shapes": (), "annotations": ()}


@dataclass(frozen=True)
class Axis:
    """`place`: a value to a share 0..1 of the axis, from left or bottom."""

    place: Callable[[Any], float]
    ticks: list[tuple[float, str]]  # (share, text)
    title: str


def svg(figure: Figure, looks: dict[str, VariantStyle], labels: dict[str, str]) -> str:
    data, layout = [_complete(trace) for trace in figure.spec["data"]], LAYOUT | figure.spec["layout"]
    shown = [name for name in looks if any(trace["meta"] == name for trace in data)]
    legend, rows = _legend(shown, looks, labels)
    top, height = 40 + ROW * rows, HEIGHT
    left: float = LEFT
    if categories := (AXIS | layout["yaxis"])["categoryarray"]:
        height = top + BOTTOM + 12 + 34 * len(categories)
        left = 24 + LETTER * max(len(unescape(name)) for name in categories)
    axes = _axis(layout["xaxis"], _values(data, "x")), _axis(layout["yaxis"], _values(data, "y"))
    box = left, top, WIDTH - RIGHT - left, height - BOTTOM - top
    body = [*_grid(axes, box, bool(categories)), *_limits(layout, axes, box)]
    for trace in data:
        body += _trace(trace, axes, box)
    palette = {look.token[1:]: (look.light, look.dark) for look in looks.values()} | COLOURS
    light, dark = ("".join(f"--{name}:{pair[side]};" for name, pair in palette.items()) for side in (0, 1))
    style = f"svg{{{light}font:12px system-ui,-apple-system,'Segoe UI',Roboto,sans-serif}}"
    style += f"@media (prefers-color-scheme:dark){{svg{{{dark}}}}}text{{fill:var(--ink)}}.m{{fill:var(--muted)}}"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    lines = [f'{head} role="img" aria-label="{_text(figure.summary)}">', f"<title>{_text(figure.title)}</title>"]
    lines.append(f"<style>{style}</style>")
    border = f'x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="8"'
    lines.append(f'<rect {border} style="fill:var(--page);stroke:var(--rule)"/>')
    lines.append(f'<text x="16" y="25" style="font-weight:600;font-size:14px">{_text(figure.title)}</text>')
    if figure.key:
        lines.append(f'<text class="m" x="{WIDTH - 16}" y="25" text-anchor="end">{_text(figure.key)}</text>')
    return "\n".join([*lines, *legend, *body, "</svg>"]) + "\n"


def _complete(trace: Spec) -> Spec:
    found = TRACE | trace
    found |= {side: ERRORS | found[side] for side in ("error_x", "error_y")}
    return found | {"line": LINE | found["line"], "marker": MARKER | found["marker"]}


def _text(text: str) -> str:
    """Escaped, and without what XML 1.0 cannot carry."""
    legal = (c if c >= " " and not "\ud800" <= c <= "\udfff" and c not in "\ufffe\uffff" else "?" for c in text)
    return escape("".join(legal))


def _legend(names: list[str], looks: dict[str, VariantStyle], labels: dict[str, str]) -> tuple[list[str], int]:
    """The legend's lines, and how many rows it takes."""
    found, x, row = [], 16.0, 0
    for name in names:
        label = labels[name] if len(labels[name]) <= 40 else labels[name][:39] + "…"
        width = 30 + LETTER * len(label)
        if x + width > WIDTH - 16 and x > 16:
            x, row = 16.0, row + 1
        y = 48 + ROW * row
        found.append(_marker(looks[name].marker, x + 8, y - 4, looks[name].token, 14))
        found.append(f'<text x="{_n(x + 20)}" y="{y}">{_text(label)}</text>')
        x += width
    return found, row + 1 if names else 0


def _values(data: list[Spec], side: str) -> list[Any]:
    found = []
    for trace in data:
        values = [value for value in trace[side] if value is not None]
        found += values
        error = trace[f"error_{side}"]
        if error["array"] and all(isinstance(value, int | float) for value in values):
            found += [v + e for v, e in zip(values, error["array"], strict=True)]
            found += [v - e for v, e in zip(values, error["arrayminus"], strict=True)]
    return found


def _axis(axis: Spec, values: list[Any]) -> Axis:
    title, axis = unescape(axis["title"]["text"]), AXIS | axis
    if categories := axis["categoryarray"]:
        shares = {name: (position + 0.5) / len(categories) for position, name in enumerate(categories)}
        return Axis(shares.__getitem__, [(share, unescape(name)) for name, share in shares.items()], title)
    suffix = axis["ticksuffix"]
    if axis["type"] == "log":
        low, high = axis["range"]
        marks = zip(axis["tickvals"], axis["ticktext"], strict=True)
        least, most = sorted((low, high))
        inside = [((log10(v) - low) / (high - low), text + suffix) for v, text in marks if least <= log10(v) <= most]
        bottom = 10.0**least  # a bar may reach down to 0, which a logarithm does not have
        return Axis(lambda value: (log10(max(value, bottom)) - low) / (high - low), inside, title)
    low, high = axis["range"] or _around(values)
    least, most = sorted((low, high))
    step = _step((most - least) / 6)
    ticks = [step * i for i in range(ceil(least / step - 1e-9), floor(most / step + 1e-9) + 1)]
    return Axis(
        lambda value: (value - low) / (high - low),
        [((t - low) / (high - low), f"{t:,.6g}{suffix}") for t in ticks],
        title,
    )


def _around(values: list[float]) -> tuple[float, float]:
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    room = 0.08 * (high - low) or 0.5
    return low - room, high + room


def _step(rough: float) -> float:
    """The next of 1, 2, 5, 10 times a power of ten."""
    power = 10.0 ** floor(log10(rough))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= rough - 1e-12)


def _grid(axes: tuple[Axis, Axis], box: tuple, rows: bool) -> list[str]:
    left, top, width, height = box
    found = []
    for share, text in axes[0].ticks:
        x = _n(left + share * width)
        found.append(f'<path d="M{x} {_n(top)}v{_n(height)}" style="stroke:var(--grid)"/>')
        found.append(f'<text class="m" x="{x}" y="{_n(top + height + 18)}" text-anchor="middle">{_text(text)}</text>')
    for share, text in axes[1].ticks:
        y = top + (1 - share) * height
        found.append(f'<path d="M{_n(left)} {_n(y)}h{_n(width)}" style="stroke:var(--grid)"/>')
        found.append(f'<text class="m" x="{_n(left - 8)}" y="{_n(y + 4)}" text-anchor="end">{_text(text)}</text>')
    middle = _n(left + width / 2)
    found.append(f'<text x="{middle}" y="{_n(top + height + 40)}" text-anchor="middle">{_text(axes[0].title)}</text>')
    if not rows:
        spot = f"translate(18 {_n(top + height / 2)}) rotate(-90)"
        found.append(f'<text transform="{spot}" text-anchor="middle">{_text(axes[1].title)}</text>')
    return found


def _limits(layout: Spec, axes: tuple[Axis, Axis], box: tuple) -> list[str]:
    left, top, width, height = box
    found = []
    for shape, note in zip(layout["shapes"], layout["annotations"], strict=True):
        style = 'style="stroke:var(--bad);stroke-width:1.5"'
        label = f'style="fill:var(--bad);font-size:11px">{_text(unescape(note["text"]))}</text>'
        if "xref" in shape:
            y = top + (1 - axes[1].place(shape["y0"])) * height
            found.append(f'<path d="M{_n(left)} {_n(y)}h{_n(width)}" {style}/>')
            found.append(f'<text x="{_n(left + 5)}" y="{_n(y - 5)}" {label}')
        else:
            x = left + axes[0].place(shape["x0"]) * width
            found.append(f'<path d="M{_n(x)} {_n(top)}v{_n(height)}" {style}/>')
            found.append(f'<text x="{_n(x + 5)}" y="{_n(top + 12)}" {label}')
    return found


def _trace(trace: Spec, axes: tuple[Axis, Axis], box: tuple) -> list[str]:
    left, top, width, height = box
    spots = [
        None if x is None or y is None else (left + axes[0].place(x) * width, top + (1 - axes[1].place(y)) * height)
        for x, y in zip(trace["x"], trace["y"], strict=True)
    ]
    marker, found = trace["marker"], []
    if "lines" in trace["mode"]:
        line, path, before = trace["line"], "", None
        for spot in spots:
            if spot and before and line["shape"] == "hv":
                path += f"L{_n(spot[0])} {_n(before[1])}"
            if spot:
                path += f"{'L' if before else 'M'}{_n(spot[0])} {_n(spot[1])}"
            before = spot
        dash = {"solid": "", "dot": "2 3"}.get(line["dash"], line["dash"].replace("px", ""))
        dashed = f";stroke-dasharray:{dash}" if dash else ""
        style = f"fill:none;stroke:{_colour(line['color'])};stroke-width:{line['width']}{dashed}"
        found.append(f'<path d="{path}" style="{style}"/>')
    if "markers" in trace["mode"]:
        found += _error_bars(trace, axes, box)
        symbols = marker["symbol"] if isinstance(marker["symbol"], list) else [marker["symbol"]] * len(spots)
        colour = marker["color"] or marker["line"]["color"]
        found += [_marker(s, *spot, colour, marker["size"] + 4) for s, spot in zip(symbols, spots, strict=True) if spot]
    for text, spot in zip(trace["text"], spots, strict=False):
        if spot and text:
            beside, up = offset(trace["textposition"], LETTER * len(unescape(text)))
            found.append(f'<text x="{_n(spot[0] + beside)}" y="{_n(spot[1] - up + 4)}">{_text(unescape(text))}</text>')
    return [f'<g opacity="{trace["opacity"]}">', *found, "</g>"] if trace["opacity"] != 1 else found


def _error_bars(trace: Spec, axes: tuple[Axis, Axis], box: tuple) -> list[str]:
    left, top, width, height = box
    found = []
    for side in ("x", "y"):
        error = trace[f"error_{side}"]
        for position, above in enumerate(error["array"]):
            x, y = trace["x"][position], trace["y"][position]
            below = error["arrayminus"][position]
            if side == "x":
                ends = [left + axes[0].place(value) * width for value in (x - below, x + above)]
                at = _n(top + (1 - axes[1].place(y)) * height)
                path = f"M{_n(ends[0])} {at}H{_n(ends[1])}"
            else:
                ends = [top + (1 - axes[1].place(value)) * height for value in (y - below, y + above)]
                path = f"M{_n(left + axes[0].place(x) * width)} {_n(ends[0])}V{_n(ends[1])}"
            found.append(f'<path d="{path}" style="stroke:{_colour(error["color"])};stroke-width:1.2"/>')
    return found


def _marker(symbol: str, x: float, y: float, token: str, size: float) -> str:
    colour = _colour(token)
    place = f'transform="translate({_n(x - size / 2)} {_n(y - size / 2)}) scale({_n(size / 16)})"'
    if symbol == "x-thin":
        return f'<path d="M3 3l10 10M13 3L3 13" {place} style="stroke:{colour};stroke-width:3;fill:none"/>'
    filled = "var(--page)" if symbol.endswith("-open") else colour
    path, style = SHAPES[symbol.removesuffix("-open")], f"fill:{filled};stroke:{colour};stroke-width:2"
    return f'<path d="{path}" {place} style="{style}"/>'


def _colour(token: str) -> str:
    return f"var(--{token[1:]})"


def _n(value: float) -> str:
    """One decimal: the same bytes on every machine."""
    return f"{round(value, 2):g}" if abs(value) < 10 else f"{round(value, 1):g}"
