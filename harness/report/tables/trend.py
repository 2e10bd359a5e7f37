"""The trend over nights as a table: a row a series, its level, its spread and its changes."""

import numpy as np

from harness.analysis.statistics.change_points import SHORTEST, ChangePoint
from harness.analysis.statistics.intervals import Estimate
from harness.analysis.trend import SCORE, Series
from harness.report.tables.comparison import metric_name, relative
from harness.report.tables.table import Table, Td, table
from harness.report.words import NONE, number, p_value


def largest_first(series: list[Series]) -> list[Series]:
    """Those with a change of level first; among them, and among the others, the largest first."""

    def size(one: Series) -> tuple[bool, float]:
        changed = max((abs(change.ratio.value - 1) for change in one.changes), default=0.0)
        return bool(one.changes), changed or abs(difference(one) or 0.0)

    return sorted(series, key=size, reverse=True)


def difference(series: Series) -> float | None:
    """The last night against the first: 0.08 is 8 % more; None of one night, and of what starts at 0."""
    first, last = series.points[0].value, series.points[-1].value
    return last / first - 1 if first and len(series.points) > 1 else None


def trend_table(series: list[Series], most: int | None = None) -> Table:
    """`most`: rows, of the largest changes; default: all, in the order of the sweep."""
    rows, shown = [], series if most is None else largest_first(series)[:most]
    for one in shown:
        values = [point.value for point in one.points]
        spread = f"{100 * float(np.std(np.log(values), ddof=1)):.2f} %" if len(values) > 1 and min(values) > 0 else NONE
        changes = "; ".join(change_text(one, change) for change in one.changes)
        if not changes and len(values) < SHORTEST:
            changes = f"not tested: {len(values)} of {SHORTEST} nights"
        tone = "" if not one.changes else "bad" if one.better * (one.changes[-1].ratio.value - 1) < 0 else "good"
        what = one.metric if one.metric == SCORE else f"{one.load}, {one.metric}"
        levels = [number(values[0]), number(values[-1])]
        rows.append([one.subject, Td(one.label), what, str(len(values)), *levels, spread, Td(changes or "none", tone)])
    heads = ["Subject", "Variant", "Metric", ">Nights", ">First", ">Last", ">Spread", "Changes of level"]
    note = (
        "Spread: standard deviation of the nights, changes included. Changes: circular binary segmentation, "
        "5 % over all rows together; brackets: 95 % intervals of the change and of its night."
    )
    if len(shown) == len(series):
        return table("Trend", heads, rows, note, group=0)
    return table(f"Trend: {len(shown)} of {len(series)} series, the largest changes first", heads, rows, note)


def largest_table(series: list[Series], most: int = 6) -> Table:
    """The largest changes of level; without any, the largest differences of the last night and the first."""
    if not any(one.changes for one in series):
        return _differences_table(series, most)
    found = sorted(((abs(c.ratio.value - 1), n, s, c) for n, s in enumerate(series) for c in s.changes), reverse=True)
    rows = []
    for _, _, one, change in found[:most]:
        tone = "bad" if one.better * (change.ratio.value - 1) < 0 else "good"
        value, bracket, interval = relative(change.ratio).partition(" [")
        what = ", ".join(filter(None, (one.load, metric_name(one.metric))))
        rows.append(
            [
                Td(one.label, variant=one.variant),
                Td(what, note=one.subject),
                Td(value, tone, f"[{interval}" if bracket else ""),
                one.points[change.at].at[:10],
                str(len(one.points)),
            ]
        )
    return table("Largest changes", ["Variant", "Metric", ">Change", ">From", ">Nights"], rows)


def _differences_table(series: list[Series], most: int) -> Table:
    rows = []
    for one in largest_first(series)[:most]:
        if not (found := difference(one)):
            continue
        what = ", ".join(filter(None, (one.load, metric_name(one.metric))))
        changed = Td(
            relative(Estimate(1 + found)), note="not tested" if len(one.points) < SHORTEST else "no change of level"
        )
        rows.append([Td(one.label, variant=one.variant), Td(what, note=one.subject), changed, str(len(one.points))])
    return table(
        "Largest differences, last night against first", ["Variant", "Metric", ">Last against first", ">Nights"], rows
    )


def change_text(series: Series, change: ChangePoint) -> str:
    """``+8.1 % [+6.9, +9.3] from 2026-11-07 (2026-11-06 to 2026-11-08), p < 0.001``"""
    day, earliest, latest = (
        series.points[position].at[:10] for position in (change.at, change.earliest, change.latest)
    )
    within = "" if earliest == latest else f" ({earliest} to {latest})"
    p = p_value(change.p)
    return f"{relative(change.ratio)} from {day}{within}, p {p if p.startswith('<') else f'= {p}'}"
