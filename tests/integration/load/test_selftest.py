"""The self-test against its own server: it sees what is there, and says no when a machine cannot do what is asked."""

import json
import subprocess
import sys

import numpy as np
import pytest

from harness.selftest import checks
from harness.selftest.checks import GAP_MS, dispersion, known_server, observe, run_checks
from harness.selftest.needs import Needs
from tests import commands


def test_the_client_is_compared_with_what_the_server_did(tmp_path):
    with known_server(GAP_MS, tmp_path / "log") as server:
        seen = observe(server, [0.0] * 8, 10, 1, 4)
    assert (seen.requests, seen.failures, seen.tokens) == (8, 0, 80)
    assert len(seen.stamp_error_s) == 80
    assert (seen.stamp_error_s > -1e-3).all()  # nothing arrives before it was sent: the clocks are one
    assert np.median(seen.stamp_error_s) < 0.02
    assert len(seen.gap_error_s) == 8 * 9


def test_what_cannot_be_done_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(checks, "SECONDS", 2.0)
    monkeypatch.setattr(checks, "STREAMS", (20,))
    found = run_checks(Needs(20.0, 16, 1e9), 2, tmp_path / "log", lambda _: None, ladder=(16,))
    by_name = {check.name: check for check in found}
    assert not by_name["honest token rate"].ok
    assert by_name["honest token rate"].value > 100
    assert by_name["streams open at once"].value == 20
    assert by_name["failed requests"].ok


def test_dispersion_is_one_for_poisson_and_not_for_others():
    draw = np.random.default_rng(0)
    poisson = np.cumsum(draw.exponential(0.01, 200_000))
    assert dispersion(poisson, 1.0) == pytest.approx(1.0, abs=0.1)
    assert dispersion(np.arange(20_000) * 0.01 + 0.005, 1.0) < 0.01
    assert dispersion(np.repeat(poisson, 4), 1.0) == pytest.approx(4.0, rel=0.1)  # everyone comes in fours


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--workers", "0"], "--workers 0: at least 1"),
        (["+sweep=quickstrat"], "did you mean 'quickstart'"),
        (["+sweep=quickstart", "load.worker=2"], "unknown key 'load.worker'"),
    ],
)
def test_wrong_command_lines(arguments, says):
    done = commands.run([sys.executable, "-m", "harness.selftest", *arguments])
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_sweep_says_what_it_asks():
    program = (
        "import json; from dataclasses import asdict; from harness.sweeps.composing.compose import compose_sweep;"
        "from harness.selftest.needs import Needs;"
        "print(json.dumps(asdict(Needs.of(compose_sweep(['+sweep=hopper_sparse_fp8'])))))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    needs = json.loads(done.stdout)
    assert needs["rate_rps"] == 20.0
    assert needs["streams"] == 256
    assert needs["tok_per_s"] == 6 * 1024  # code at 6 requests/s
