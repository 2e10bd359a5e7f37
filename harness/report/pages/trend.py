"""The page of `harness trend`."""

from collections.abc import Sequence

from harness.analysis.trend import Night, Series
from harness.analysis.validity import Mark, simulated
from harness.report.figures.figures import Figure
from harness.report.figures.style import styles
from harness.report.figures.trend import trend_figure
from harness.report.pages.frame import render
from harness.report.tables.trend import change_text, trend_table


def sentences(series: list[Series]) -> list[str]:
    """The changes, one a line, the largest first."""
    found = [(abs(c.ratio.value - 1), f"{s.label}, {_what(s)}: {change_text(s, c)}") for s in series for c in s.changes]
    return [text for _, text in sorted(found, reverse=True)]


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
        sentences=sentences(series),
        summary=trend_table(series),
        figures_by_subject=figures,
        command=command,
        version=version,
    )


def _what(series: Series) -> str:
    return ", ".join(filter(None, (series.subject, series.load, series.metric)))
