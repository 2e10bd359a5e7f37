"""What a capacity search says of each probe."""

import math

from harness.loadgen.capacity import Probe
from harness.loadgen.probe_words import probe_words
from harness.loadgen.slo import SloReading


def probe(rate: float, itl_ms: float, valid: bool = True) -> Probe:
    return Probe(rate, rate, 100, SloReading({"itl_ms_p99": itl_ms}, {"itl": itl_ms / 50.0}, {}), valid)


def test_each_probe_is_a_line_with_the_bracket_that_is_left():
    probes = [probe(20.0, 31.25)]
    assert probe_words(probes, 8) == ("probe 1 of at most 8: 20/s met, p99 ITL 31.2 ms; the capacity is above 20/s")
    probes.append(probe(64.0, math.inf))
    assert probe_words(probes, 8) == (
        "probe 2 of at most 8: 64/s missed, p99 ITL without bound; the capacity is between 20 and 64/s"
    )
    probes.append(probe(40.0, 10.0, valid=False))
    assert "40/s invalid: the client could not send it" in probe_words(probes, 8)
    assert probe_words(probes, 8).endswith("between 20 and 64/s"), "an invalid probe moves no bound"
