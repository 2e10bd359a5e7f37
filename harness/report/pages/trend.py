"""The page of `harness trend`."""

from collections.abc import Sequence

from harness.analysis.statistics.change_points import SHORTEST
from harness.analysis.statistics.intervals import Estimate
from harness.analysis.trend import Night, Series
from harness.analysis.validity import Mark, simulated
from harness.report.figures.figures import Figure
from harness.report.figures.style import VariantStyle, styles
from harness.report.figures.trend import trend_figure
from harness.report.pages.frame import render
from harness.report.tables.comparison import metric_name, relative
from harness.report.tables.trend import change_text, difference, largest_first, largest_table, trend_table
from harness.report.words import plural


def sentences(series: list[Series]) -> list[str]:
    """The changes, one a line, the largest first."""
    found = [(abs(c.ratio.value - 1), f"{s.label}, {_what(s)}: {change_text(s, c)}") for s in series for c in s.changes]
    return [text for _, text in sorted(found, reverse=True)]


def conclusion(series: list[Series]) -> str:
    """What a reader must know first: how many series changed their level for the worse, and the largest change."""
    worse = [(abs(c.ratio.value - 1), s, c) for s in series for c in s.changes if s.better * (c.ratio.value - 1) < 0]
    better = sum(len(s.changes) for s in series) - len(worse)
    tested = sum(len(s.points) >= SHORTEST for s in series)
    if not tested:
        return f"Not tested: no series has the {SHORTEST} nights that a change of level takes.{_differs(series)}"
    if not worse:
        gained = f"; {plural(better, 'change')} for the better" if better else ""
        return f"No regression: none of {tested} series changes its level for the worse{gained}."
    _, most, change = max(worse, key=lambda found: found[0])
    count = len({id(s) for _, s, _ in worse})
    return (
        f"Regression in {count} of {tested} series, largest {most.label}, {_what(most)}: {change_text(most, change)}."
    )


def _differs(series: list[Series]) -> str:
    """The largest difference of the last night and the first, where no series is tested."""
    for most in largest_first(series)[:1]:
        if found := difference(most):
            said = f"{most.label}, {_what(most)}: {relative(Estimate(1 + found))}"
            return f" Largest difference, last night against first: {said} (no interval)."
    return ""


def render_trend(nights: Sequence[Night], series: list[Series], command: str, version: str) -> str:
    newest = nights[-1].study
    variants = {name: night.study.variants[name] for night in nights for name in night.study.variants}
    looks = styles(variants, newest.baseline)
    groups: dict[tuple[str, str, str], list[Series]] = {}
    for one in series:
        groups.setdefault((one.subject, one.load, one.metric), []).append(one)
    figures: dict[str, list[Figure]] = {}
    for position, ((subject, _, _), own) in enumerate(groups.items()):
        figures.setdefault(subject, []).append(trend_figure(own, looks, f"trend-{position}"))
    marks = [Mark("SIMULATED", "a simulated engine answered: no model was measured")] if simulated(newest) else []
    return render(
        "trend.html",
        title=f"Trend of {len(nights)} nights",
        looks=looks,
        labels={name: variant.label for name, variant in variants.items()},
        marks=marks,
        nights=nights,
        conclusion=conclusion(series),
        changed=largest_table(series),
        first=_first(series, looks),
        summary=trend_table(series),
        figures_by_subject=figures,
        command=command,
        version=version,
    )


def _first(series: list[Series], looks: dict[str, VariantStyle]) -> Figure | None:
    """The metric with the largest change, of all variants."""
    if not series:
        return None
    most = largest_first(series)[0]
    key = (most.subject, most.load, most.metric)
    return trend_figure([s for s in series if (s.subject, s.load, s.metric) == key], looks, "trend-first")


def _what(series: Series) -> str:
    return ", ".join(filter(None, (series.subject, series.load, metric_name(series.metric))))
