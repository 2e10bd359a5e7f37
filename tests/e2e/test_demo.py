"""`harness demo` in an empty folder, without network: a whole report."""

import os
import re
import subprocess
import sys
from pathlib import Path

SMALLER = ("variant=[bf16,fp8_dynamic]", "load.rates_rps=[64]", "report.attribution=[]", "noise_runs=0")
SECTIONS = {"recommendation", "verdict", "variants", "recovery", "fidelity", "judge", "slo", "load", "pareto"}
SECTIONS |= {"serving", "cutoffs", "cost", "validity", "provenance"}
NOBODY = "http://127.0.0.1:9"  # a proxy that is not there: whatever asks for a file of the network fails


def test_it_shows_every_section_and_says_where_the_report_is(tmp_path: Path) -> None:
    proxies = {name: NOBODY for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy")}
    home = {"HOME": str(tmp_path / "home"), "HF_HOME": str(tmp_path / "hf")}  # nothing was downloaded before
    done = subprocess.run(
        [sys.executable, "-m", "harness", "demo", *SMALLER],
        cwd=tmp_path, env=os.environ | proxies | home, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    page = tmp_path / "reports/demo/index.html"
    assert f"report:  {page}" in done.stdout and "Traceback" not in done.stderr
    text = page.read_text()
    assert set(re.findall(r'<section id="(\w+)"', text)) >= SECTIONS
    assert re.search(r'<b class="words">[^<]*SIMULATED', text), "beside the navigation, on every screen"
