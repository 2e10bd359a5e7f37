"""Where the names of a chart's points go, so that they can be read where points are close or equal."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import unescape

WIDTH, HEIGHT = 480.0, 270.0  # of the plot area in px: that of the narrowest chart that shows names
LETTER, LINE = 7.0, 15.0  # px of a letter at 12 px, of a line
MARKER, BAR = 9.0, 2.0  # half the side of a marker, half the width of an error bar, px
BESIDE, CORNER = 11.0, 8.0  # px from a point to its name
POSITIONS = (
    "middle right",
    "middle left",
    "top right",
    "bottom right",
    "top center",
    "bottom center",
    "top left",
    "bottom left",
)
Point = tuple[float, float]
Box = tuple[float, float, float, float]  # left, bottom, right, top in px


@dataclass(frozen=True)
class Spot:
    """A name, and its points as shares 0..1 of the plot area, from left and bottom; the name is at the first.

    `bars`: the two ends of each error bar.
    """

    text: str
    points: tuple[Point, ...]
    bars: tuple[tuple[Point, ...], ...] = ()


def positions(spots: Sequence[Spot]) -> list[str]:
    """Return plotly's `textposition` of each: greedily, the first position that covers least of what is there.

    Another name counts more than a marker or a bar: both could not be read.
    """
    drawn = [box for spot in spots for box in (*_markers(spot), *_bars(spot))]
    names: list[Box] = []
    found = []
    for spot in spots:
        boxes = {position: _box(spot, position) for position in POSITIONS}
        hidden = {
            at: _outside(box) + sum(_shared(box, one) for one in drawn) + 8 * sum(_shared(box, one) for one in names)
            for at, box in boxes.items()
        }
        found.append(min(POSITIONS, key=hidden.__getitem__))
        names.append(boxes[found[-1]])
    return found


def offset(position: str, width: float) -> tuple[float, float]:
    """Left edge and middle of a name from its point, px, upwards; `width`: of the name."""
    vertical, horizontal = position.split()
    up = {"top": LINE, "middle": 0.0, "bottom": -LINE}[vertical]
    beside = BESIDE if vertical == "middle" else CORNER
    return {"right": beside, "left": -beside - width, "center": -width / 2}[horizontal], up


def _box(spot: Spot, position: str) -> Box:
    width = LETTER * len(unescape(spot.text))
    left, middle = offset(position, width)
    x, y = spot.points[0][0] * WIDTH + left, spot.points[0][1] * HEIGHT + middle
    return x, y - LINE / 2, x + width, y + LINE / 2


def _markers(spot: Spot) -> Iterator[Box]:
    for x, y in spot.points:
        yield x * WIDTH - MARKER, y * HEIGHT - MARKER, x * WIDTH + MARKER, y * HEIGHT + MARKER


def _bars(spot: Spot) -> Iterator[Box]:
    for (x, y), (right, top) in (ends for ends in spot.bars if ends):
        yield x * WIDTH - BAR, y * HEIGHT - BAR, right * WIDTH + BAR, top * HEIGHT + BAR


def _shared(a: Box, b: Box) -> float:
    """The area that two boxes share, px²."""
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return max(0.0, wide) * max(0.0, high)


def _outside(box: Box) -> float:
    """The area outside of the chart, px²; counted several times, as nothing shows it."""
    seen = _shared(box, (0.0, 0.0, WIDTH, HEIGHT))
    return 4 * ((box[2] - box[0]) * (box[3] - box[1]) - seen)
