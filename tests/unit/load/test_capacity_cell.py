"""Which probes of a capacity search count."""

import pytest

from harness.config.slo import Slo
from harness.loadgen.bench import PointRun
from harness.loadgen.capacity_cell import _sent_as_asked
from harness.records import Window
from harness.records.flag import Flag
from harness.records.load_result import LoadResult


def run(lag_ms: float, *codes: str) -> PointRun:
    flags = [Flag(code, "invalid") for code in codes]
    return PointRun(LoadResult(send_lag_ms_p99=lag_ms), [], flags, Window(0.0, 0.0, 1.0))


@pytest.mark.parametrize(
    ("lag_ms", "slo", "counts"),
    [
        (60.0, {"ttft_ms_p99": 1000.0, "itl_ms_p99": 50.0}, True),
        (160.0, {"ttft_ms_p99": 1000.0, "itl_ms_p99": 50.0}, False),
        (160.0, {"itl_ms_p99": 50.0}, True),
        (60.0, {"ttft_ms": 300.0, "goodput": 0.99}, False),
    ],
)
def test_late_sends_spoil_a_probe_where_they_could_decide_it(lag_ms, slo, counts):
    assert _sent_as_asked(run(lag_ms, "client_lag"), Slo.of(slo)) is counts


def test_another_rate_than_asked_spoils_every_probe():
    assert not _sent_as_asked(run(1.0, "rate_not_offered"), Slo.of(itl_ms_p99=50.0))
