"""The Pareto chart: names that can be read, bounds as arrows, perplexity upwards."""

from dataclasses import replace
from itertools import combinations

import pytest

from harness.analysis.decision.pareto import PERPLEXITY, RECOVERY, Bound, Front
from harness.analysis.statistics.intervals import Estimate
from harness.report.figures.fronts import ARROWS, front_figure
from harness.report.figures.labels import POSITIONS, Spot, _box, _shared, positions
from harness.report.figures.style import styles
from harness.report.figures.svg import svg
from harness.report.tables.performance import front_table

PLACES = ([(0.5, 0.5)] * 6, [(0.3, 0.5), (0.32, 0.5), (0.34, 0.51)], [(0.99, 0.98), (0.99, 0.02), (0.01, 0.5)])


@pytest.mark.parametrize("places", PLACES)
def test_names_of_close_and_equal_points_do_not_overlap(places):
    spots = [Spot(f"variant {n}", (place,)) for n, place in enumerate(places)]
    boxes = [_box(spot, position) for spot, position in zip(spots, positions(spots), strict=True)]
    assert all(_shared(a, b) == 0 for a, b in combinations(boxes, 2))
    assert all(box[0] >= 0 and box[2] <= 480 for box in boxes)


def test_a_name_keeps_off_its_own_error_bar():
    bar = ((0.3, 0.5), (0.8, 0.5))
    (position,) = positions([Spot("INT8", ((0.5, 0.5),), (bar,))])
    assert position in POSITIONS and not position.startswith("middle")


@pytest.fixture
def drawn(findings):
    """A chart with a point, a lower and an upper bound."""
    study = findings.study
    first, second, third = study.compared[:3]
    front = Front(
        "capacity",
        "capacity at the SLO",
        "requests/s at the SLO",
        RECOVERY,
        {study.baseline: (Estimate(1.0), Estimate(1.0)), first: (Estimate(1.3), Estimate(0.99, 0.98, 1.0))},
        (study.baseline, first),
        {},
        {},
        {second: Bound(1.4, None, Estimate(0.97)), third: Bound(None, 0.8, Estimate(0.96))},
    )

    def make(front: Front = front):
        looks = styles(study.variants, study.baseline)
        return front_figure(findings, looks, front, "front", front_table(findings, front))

    return make, front


def test_a_bound_is_an_arrow_and_in_the_table(drawn, findings):
    make, front = drawn
    figure = make()
    second, third = front.bounds
    of = {trace.get("meta"): trace for trace in figure.spec["data"]}
    assert of[second]["x"][0] == 1.4 < of[second]["x"][1] and of[second]["marker"]["symbol"][1] == "triangle-right"
    assert of[third]["x"][0] == 0.8 > of[third]["x"][1] and of[third]["marker"]["symbol"][1] == "triangle-left"
    low, high = figure.spec["layout"]["xaxis"]["range"]
    assert all(low < x < high for trace in figure.spec["data"] for x in trace["x"])
    assert ARROWS in figure.key and "at least 1.40×" in figure.summary and "at most 0.80×" in figure.summary
    assert [row[2].text for row in figure.table.rows][2:] == ["at least 1.40×", "at most 0.80×"]
    looks = styles(findings.study.variants, findings.study.baseline)
    drawing = svg(figure, looks, {name: v.label for name, v in findings.study.variants.items()})
    assert all(findings.study.label(name) in drawing for name in front.bounds) and ARROWS in drawing


@pytest.mark.parametrize("worst", [1.05, 30.0])
def test_a_lower_perplexity_is_drawn_higher(drawn, worst):
    make, front = drawn
    first = next(name for name in front.points if front.points[name][0].value != 1.0)
    points = {**front.points, first: (Estimate(1.3), Estimate(worst, 0.98 * worst, 1.02 * worst))}
    y_axis = make(replace(front, quality=PERPLEXITY, points=points, bounds={})).spec["layout"]["yaxis"]
    bottom, top = y_axis["range"]
    assert bottom > top and (y_axis.get("type") == "log") == (worst > 12)
