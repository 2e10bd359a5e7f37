"""A sweep over nights: a series for each variant, scenario, load point and metric, and where it changes its level."""

from collections.abc import Sequence
from dataclasses import dataclass

from harness.analysis.speed.capacity import capacity
from harness.analysis.speed.performance import load_points
from harness.analysis.speed.readings import INTERPOLATED, MEASURED
from harness.analysis.statistics.change_points import ChangePoint, change_points
from harness.analysis.statistics.significance import ALPHA
from harness.analysis.study import Study

METRICS = ("itl_ms_p50", "itl_ms_p99", "ttft_ms_p50", "ttft_ms_p99", "output_tok_per_s")
LOWER_IS_BETTER = METRICS[:4]
SCORE, CAPACITY = "score", "capacity_rps"


@dataclass(frozen=True)
class Night:
    place: str
    at: str  # when its last cell was measured, ISO 8601
    study: Study


@dataclass(frozen=True)
class Point:
    at: str
    place: str
    value: float


@dataclass(frozen=True)
class Series:
    """`subject`: a scenario or suite; `load`: a load point's label, empty of a score."""

    variant: str
    label: str
    subject: str
    load: str
    metric: str
    points: tuple[Point, ...]
    changes: tuple[ChangePoint, ...] = ()

    @property
    def better(self) -> float:
        """-1 where less is better."""
        return -1.0 if self.metric in LOWER_IS_BETTER else 1.0


Key = tuple[str, str, str, str]  # variant, subject, load, metric


def trend(nights: Sequence[Night]) -> list[Series]:
    """Return the series, in the newest night's order; a change is significant at 5 % over all of them (Bonferroni)."""
    ordered = sorted(nights, key=lambda night: night.at)
    values: dict[Key, list[Point]] = {}
    labels: dict[str, str] = {}
    for night in reversed(ordered):
        for name in night.study.variants:
            labels.setdefault(name, night.study.label(name))
        for key, value in _values(night.study).items():
            values.setdefault(key, []).insert(0, Point(night.at, night.place, value))
    found = []
    for key, points in values.items():
        name, subject, load, metric = key
        series = [point.value for point in points]
        tested = all(value > 0 for value in series)
        changes = change_points(series, ALPHA / len(values)) if tested else []
        found.append(Series(name, labels[name], subject, load, metric, tuple(points), tuple(changes)))
    subjects = list(dict.fromkeys(one.subject for one in found))
    return sorted(found, key=lambda one: subjects.index(one.subject))


def _values(study: Study) -> dict[Key, float]:
    """The valid numbers of one night."""
    found: dict[Key, float] = {}
    for (name, scenario), points in load_points(study).items():
        for point in points:
            for metric in METRICS:
                if point.valid and point.profile != "capacity" and (value := point.value(metric)):
                    found[name, scenario, point.point.label, metric] = value
        reading = capacity(points, study.scenarios[scenario].slo)
        if reading.value and reading.status in (MEASURED, INTERPOLATED):
            found[name, scenario, "at the SLO", CAPACITY] = reading.value
    for m in study.measured:
        score = m.scored.scores.get(m.scored.primary) if m.cell.kind == "accuracy" and m.valid else None
        if score is not None:
            found.setdefault((m.cell.variant, m.cell.suite_name, "", SCORE), score.value)
    return found
