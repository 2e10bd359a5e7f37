"""Energy a token: over repeats, against the baseline at equal load, and nowhere without telemetry."""

import csv
import re

import pytest

from harness.analysis import analyse
from harness.analysis.speed.energy import energies
from harness.analysis.speed.performance import load_points
from harness.report import write_report
from harness.report.files.summary import summary
from harness.report.tables.energy import energy_table
from harness.tracking.metrics import metrics
from tests.unit.report.synthetic_records import RATES, VARIANTS
from tests.unit.report.synthetic_study import SCENARIOS, build, parts, watched_parts

pytestmark = pytest.mark.slow

POINTS = 2 + len(RATES)


def of(study):
    return energies(study, load_points(study))


def found(these, variant, profile, rate=None):
    wanted = ("chat_512_256", variant, profile, rate)
    (one,) = [e for e in these if (e.point.scenario, e.point.variant, e.point.profile, e.point.rate_rps) == wanted]
    return one


def test_tokens_per_joule_are_compared_at_the_same_load_point():
    these = of(build(*watched_parts()))
    assert len(these) == len(VARIANTS) * len(SCENARIOS) * POINTS
    single = found(these, "fp8", "single_stream")
    assert single.gain.value == pytest.approx(0.60 / 0.45) and not single.gain.bounded
    assert single.output_tokens_per_j == pytest.approx(1 / 0.45)
    assert (single.power_w_mean, single.sm_mhz_min, single.gpus) == (500.0, 1200, 1)
    assert found(these, "bf16", "single_stream").gain is None


def test_repeats_give_an_interval():
    fp8 = found(of(build(*watched_parts(repeats=3))), "fp8", "server", 2.0)
    assert fp8.j_per_output_token == pytest.approx(0.45 * (1 + 1.01 + 1.0201) / 3)
    assert fp8.gain.value == pytest.approx(0.60 / 0.45)
    assert fp8.gain.low < 0.60 / 0.45 < fp8.gain.high


def test_the_power_of_a_server_is_of_all_its_gpus():
    found_ = found(of(build(*watched_parts(gpus=2))), "fp8", "throughput")
    assert (found_.power_w_mean, found_.power_w_max, found_.gpus) == (1000.0, 1380.0, 2)
    assert found_.sm_mhz_median == 1755


@pytest.mark.parametrize("variant", ["bf16", "fp8"])
def test_an_invalid_point_is_compared_with_nothing(variant):
    manifest, records, rows = watched_parts()
    for record in records:
        if record["cell"]["key"].startswith(f"load-{variant}-chat_512_256-single_stream"):
            record["flags"].append({"code": "client_lag", "level": "invalid", "message": "late"})
    these = of(build(manifest, records, rows))
    assert found(these, "fp8", "single_stream").gain is None
    assert found(these, "fp8", "throughput").gain is not None


def test_a_rate_that_one_side_did_not_reach_is_another_load():
    manifest, records, rows = watched_parts()
    for record in records:
        if record["cell"]["key"].startswith("load-bf16-chat_512_256-server-4.0"):
            record["result"]["served_rps"] = 3.0
    these = of(build(manifest, records, rows))
    assert found(these, "fp8", "server", 4.0).gain is None
    assert found(these, "fp8", "server", 2.0).gain is not None


def test_a_card_that_tells_no_energy_leaves_gaps_and_not_zeros():
    manifest, records, rows = watched_parts(energy_from=None, power_w_mean=None, power_w_max=None, sm_mhz_min=None)
    for record in records:
        record["telemetry"] |= {"energy_j": None, "energy_j_per_output_token": None, "energy_j_per_token": None}
    findings = analyse(build(manifest, records, rows))
    one = found(findings.energies, "fp8", "single_stream")
    assert (one.power_w_mean, one.j_per_output_token, one.output_tokens_per_j, one.gain) == (None, None, None, None)
    row = next(row for row in energy_table(findings).rows if row[1].variant == "fp8")
    assert [td.text for td in row[3:9]] == ["–", "1,755", "–", "–", "–", "–"]
    assert not any("energy" in name for name, _ in metrics(findings, "fp8"))


def test_the_report_shows_it(tmp_path):
    study = build(*watched_parts())
    page = write_report(study, tmp_path).read_text()
    assert '<section id="energy"' in page and '<a href="#energy">' in page
    assert "the GPUs&#39; energy counters" in page or "the GPUs' energy counters" in page
    assert "idle time between requests is in it" in page
    assert re.search(r"1\.33×", page) and "down to 1,200 of 1,980" in page and "at most 690" in page
    assert "## Power and energy" in (tmp_path / "release_notes.md").read_text()
    with open(tmp_path / "cells.csv", newline="") as file:
        line = next(row for row in csv.DictReader(file) if row["key"].startswith("load-fp8-chat_512_256-single"))
    assert float(line["energy_j_per_output_token"]) == 0.45 and float(line["energy_j"]) == 100.0
    named = {
        name: value for (name, step), value in metrics(analyse(study), "fp8").items() if name.startswith("energy/")
    }
    assert named["energy/chat_512_256_j_per_output_token_at_qps_4"] == 0.45
    assert named["energy/chat_512_256_output_tok_per_j_gain_single_stream"] == pytest.approx(0.60 / 0.45)
    assert named["energy/chat_512_256_power_w_throughput"] == 500.0


def test_without_telemetry_nothing_is_shown(tmp_path):
    study = build(*parts())
    page = write_report(study, tmp_path).read_text()
    assert 'id="energy"' not in page and "#energy" not in page and "Power and energy" not in page
    assert "Power and energy" not in (tmp_path / "release_notes.md").read_text()
    assert summary(analyse(study))["energy"] == []
    with open(tmp_path / "cells.csv", newline="") as file:
        assert {row["energy_j"] for row in csv.DictReader(file)} == {""}
