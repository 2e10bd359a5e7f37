"""What a capacity search says of each probe."""

import math

from harness.analysis.speed.readings import UNRESOLVED, Reading
from harness.loadgen.capacity import Capacity, Probe
from harness.loadgen.probe_words import probe_words
from harness.loadgen.slo import SloReading
from harness.report import words


def probe(rate: float, itl_ms: float, valid: bool = True) -> Probe:
    return Probe(rate, rate, 100, SloReading({"itl_ms_p99": itl_ms}, {"itl": itl_ms / 50.0}, {}), valid)


def found(low: float | None, high: float | None, *probes: Probe) -> Capacity:
    return Capacity("unresolved", None, low, high, "itl", probes)


def test_each_probe_is_a_line_with_its_length_and_what_is_known():
    met = probe(20.0, 31.25)
    assert probe_words(found(20.0, None, met), 8) == (
        "probe 1 of at most 8: 20/s for 5 s met, p99 ITL 31.2 ms; the capacity is ≥ 20.0/s"
    )
    assert probe_words(found(21.0, 60.5, met, probe(64.0, math.inf)), 8) == (
        "probe 2 of at most 8: 64/s for 2 s missed, p99 ITL without bound; the capacity is 21.0 to 60.5/s"
    )
    said = probe_words(found(None, None, probe(40.0, 10.0, valid=False)), 8)
    assert "40/s for 2 s invalid: the client could not send it" in said and said.endswith("the capacity is unknown")


def test_progress_and_report_say_the_bounds_in_the_same_words():
    capacity = found(6.0912, 12.34, probe(11.0, 60.0))
    reading = Reading(None, UNRESOLVED, low=capacity.low_rps, high=capacity.high_rps)
    assert words.reading(reading) == "6.09 to 12.3"
    assert f"{words.reading(reading)}/s" in probe_words(capacity, 8)
