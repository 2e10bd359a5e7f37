"""The answer of a study without accuracy suites for traffic without a rate at an SLO: which variant answers faster."""

from collections.abc import Iterator

from harness.analysis import Findings
from harness.analysis.speed.performance import PointResult, comparable, speedup
from harness.analysis.statistics.intervals import Estimate
from harness.report.words import number, times

# the first that both sides have is the answer: load as users send it before load that is made up
PROFILES = ("trace", "server", "concurrency", "ramp", "throughput", "single_stream")
LATENCY, TAIL = "e2e_ms_p50", "e2e_ms_p95"
PARTS = {"TTFT": "ttft_ms_p50", "ITL": "itl_ms_p50"}


def latency_answer(findings: Findings, scenario: str) -> str | None:
    """Return a sentence for each variant that was measured on the same load as the baseline; None where none was."""
    study = findings.study
    found = [said for name in study.compared for said in _of_variant(findings, name, scenario)]
    return " ".join(found) or None


def on_speed(label: str, base: str, low: float | None, high: float | None) -> str:
    """Say what an interval around variant / baseline decides, where more than 1 is faster."""
    if low is not None and low > 1:
        return f"On speed, deploy {label}: "
    if high is not None and high < 1:
        return f"On speed, keep {base}: "
    return "On speed, no difference is established: "


def _of_variant(findings: Findings, name: str, scenario: str) -> Iterator[str]:
    study = findings.study
    pair = _common(findings, name, scenario)
    if pair is None:
        return
    base, own = pair
    labels = study.label(study.baseline), study.label(name)
    ratio = speedup(base, own, LATENCY)
    assert ratio is not None  # _common has seen both values
    said = on_speed(labels[1], labels[0], ratio.low, ratio.high) if ratio.bounded else _one_run(labels, ratio)
    yield (
        f"{said}{labels[1]} answers {times(ratio)} as fast as {labels[0]} in {scenario}, {own.point.label} "
        f"({'; '.join(_values(base, own))}{'' if ratio.bounded else '; n = 1, no CI'}). {_requests(labels, base, own)}"
    )


def _one_run(labels: tuple[str, str], ratio: Estimate) -> str:
    base, own = labels
    return f"On speed, {own if ratio.value > 1 else base} looks better; load.repeats=3 gives an interval: "


def _common(findings: Findings, name: str, scenario: str) -> tuple[PointResult, PointResult] | None:
    """Return the load that says most of both; the highest rate of a ladder that both keep up with."""
    bases = {point.point: point for point in findings.points[findings.study.baseline, scenario]}
    pairs = [(bases[own.point], own) for own in findings.points[name, scenario] if own.point in bases]
    known = [pair for pair in pairs if comparable(*pair, LATENCY) and pair[0].profile in PROFILES]
    ranked = sorted(known, key=lambda pair: (PROFILES.index(pair[0].profile), -(pair[0].rate_rps or 0.0)))
    return next((pair for pair in ranked if all(one.reached for one in pair)), ranked[0] if ranked else None)


def _values(base: PointResult, own: PointResult) -> Iterator[str]:
    for metric, name in ((LATENCY, "E2E p50"), (TAIL, "p95")):
        if comparable(base, own, metric):
            yield f"{name} {number(own.value(metric))} against {number(base.value(metric))} ms"
    for name, metric in PARTS.items():
        if faster := speedup(base, own, metric):
            yield f"{name} {times(faster)}"


def _requests(labels: tuple[str, str], *points: PointResult) -> str:
    """``Old completed 100 of 100 requests, New 98 of 100 (2 failed).``"""
    counts = [tuple(round(sum(point.values(f"requests_{what}"))) for what in ("completed", "sent")) for point in points]
    failed = [f" ({sent - completed} failed)" if sent > completed else "" for completed, sent in counts]
    base, own = (f"{completed} of {sent}" for completed, sent in counts)
    return f"{labels[0]} completed {base} requests{failed[0]}, {labels[1]} {own}{failed[1]}."
