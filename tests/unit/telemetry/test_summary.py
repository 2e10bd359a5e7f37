"""Samples in a few numbers: energy, clocks, throttle reasons, and what is absent."""

import pytest

from harness.records import Window
from harness.records.load_result import CapacityResult, LoadResult
from harness.records.telemetry import Telemetry
from harness.telemetry.reasons import REASONS, names
from harness.telemetry.summary import energy, per_token, summarize
from tests.unit.telemetry.samples import FACTS, samples

WINDOW = Window(zero_s=100.0, start_s=2.1, end_s=7.3)


def of(taken, window=WINDOW, facts=(FACTS,)):
    return summarize(taken, list(facts), window, 0.25)


def test_every_bit_of_nvml_has_its_name():
    import pynvml

    known = {n: getattr(pynvml, n) for n in dir(pynvml) if n.startswith("nvmlClocksThrottleReason")}
    bits = {value for value in known.values() if value.bit_count() == 1}
    assert bits == set(REASONS)
    assert names(0x44) == ("sw_power_cap", "hw_thermal_slowdown") and names(0) == ()
    assert names(1 << 20) == ("bit_20",), "a reason of a later driver keeps its number"


def test_energy_is_the_counters_between_the_windows_bounds():
    # The power figure is a mean over the last second and lags: here it says 300 W while the counter says 400.
    gpu = of(samples(power_w=300.0)).gpus[0]
    assert (gpu.energy_j, gpu.energy_from) == (pytest.approx(400.0 * 5.2), "counter")
    assert gpu.power_w_mean == pytest.approx(400.0) and gpu.power_w_max == 300.0
    assert gpu.samples == 21 and gpu.gap_s_max == 0.25


def test_without_a_counter_it_is_the_trapezoid_of_power():
    rising = samples(energy_j=None, power_w=lambda n: 100.0 + 10.0 * n)  # 100 W + 40 W/s
    gpu = of(rising).gpus[0]
    mean = 100.0 + 40.0 * (2.1 + 7.3) / 2
    assert (gpu.energy_j, gpu.energy_from) == (pytest.approx(mean * 5.2), "power")


def test_a_counter_that_starts_anew_is_not_believed():
    reset = samples(energy_j=lambda n: 5000.0 + 100.0 * n if n < 20 else 10.0 * n)
    assert energy(reset, 102.1, 107.3) == (pytest.approx(400.0 * 5.2), "power")


def test_energy_is_unknown_where_the_samples_end_early():
    taken = samples(20)  # the last at 4.75 s of 7.3
    assert energy(taken, 102.1, 107.3) == (None, None)
    summary = of(taken)
    assert summary.energy_j is None and summary.gpus[0].power_w_mean is None
    assert summary.gpus[0].sm_mhz_median == 1980, "what was seen is told all the same"


def test_what_a_card_does_not_tell_is_none_and_never_zero():
    dumb = dict.fromkeys(("power_w", "energy_j", "sm_mhz", "memory_mhz", "utilization", "temperature_c", "reasons"))
    gpu = of(samples(**dumb), facts=[{"index": 0}]).gpus[0]
    told = {key for key, value in gpu.to_json().items() if value is not None}
    assert told == {"index", "samples", "gap_s_max", "memory_used_bytes_max"}
    assert 0 not in gpu.to_json().values() or gpu.index == 0


def test_no_sample_in_the_window_is_no_telemetry():
    assert of([]) is None
    assert of(samples(4)) is None, "all of them before it"


def test_the_energy_of_a_server_is_of_all_its_gpus_or_unknown():
    two = [FACTS, FACTS | {"index": 1}]
    assert of(samples() + samples(device=1), facts=two).energy_j == pytest.approx(2 * 400.0 * 5.2)
    part = of(samples() + samples(device=1, energy_j=None, power_w=None), facts=two)
    assert part.energy_j is None, "half of the server's energy would look like a saving"
    assert part.gpus[0].energy_j is not None


def test_throttle_shares_are_of_the_busy_samples():
    # Idle with thermal slowdown for the first half: not counted. Then busy: half of it at the power cap.
    taken = samples(
        41,
        utilization=lambda n: 0.0 if n < 20 else 0.95,
        reasons=lambda n: 0x21 if n < 20 else (0x4 if n % 2 else 0x0),
    )
    gpu = of(taken, Window(100.0, 0.0, 10.0)).gpus[0]
    assert gpu.busy_samples == 21
    assert gpu.throttle == {"sw_power_cap": pytest.approx(10 / 21, abs=1e-4)}


def test_a_card_that_tells_no_utilization_is_busy_unless_it_says_that_it_is_idle():
    taken = samples(41, utilization=None, reasons=lambda n: 0x1 if n < 30 else 0x8)
    gpu = of(taken, Window(100.0, 0.0, 10.0)).gpus[0]
    assert (gpu.busy_samples, gpu.throttle) == (11, {"hw_slowdown": 1.0})


def test_energy_a_token():
    result = LoadResult(completion_tokens=400, prompt_tokens=1200)
    known = per_token(Telemetry(energy_j=2000.0), result)
    assert (known.energy_j_per_output_token, known.energy_j_per_token) == (5.0, 1.25)
    assert per_token(Telemetry(), result) == Telemetry()
    assert per_token(known := Telemetry(energy_j=2000.0), LoadResult()) == known
    assert per_token(known, CapacityResult(capacity_rps=4.0)) == known, "a search has no one load"
