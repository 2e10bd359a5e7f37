"""The trend over nights as a table: a row a series, its level, its spread and its changes."""

import numpy as np

from harness.analysis.statistics.change_points import SHORTEST, ChangePoint
from harness.analysis.trend import SCORE, Series
from harness.report.tables.comparison import metric_name, relative
from harness.report.tables.table import Table, Td, table
from harness.report.words import NONE, number, p_value


def trend_table(series: list[Series]) -> Table:
    rows = []
    for one in series:
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
    return table("Trend", heads, rows, note, group=0)


def largest_table(series: list[Series], most: int = 6) -> Table:
    """The largest changes of level."""
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


def change_text(series: Series, change: ChangePoint) -> str:
    """``+8.1 % [+6.9, +9.3] from 2026-11-07 (2026-11-06 to 2026-11-08), p < 0.001``"""
    day, earliest, latest = (
        series.points[position].at[:10] for position in (change.at, change.earliest, change.latest)
    )
    within = "" if earliest == latest else f" ({earliest} to {latest})"
    p = p_value(change.p)
    return f"{relative(change.ratio)} from {day}{within}, p {p if p.startswith('<') else f'= {p}'}"
