"""A new suite kind is one module, one line in SUITES and one YAML file: a sweep on it, from command line to report."""

import ast
import json
import subprocess
import sys
from pathlib import Path

from tests.integration.accuracy import spelling_suite

HERE = Path(__file__).parent
# The line in SUITES, and the command line with the folder of the YAML file.
RUN = """
from harness.accuracy import SUITES
SUITES["spelling"] = "tests.integration.accuracy.spelling_suite:Spelling"
from harness.__main__ import main
raise SystemExit(main())
"""


def test_a_sweep_runs_a_suite_of_one_module(tiny_model, tmp_path):
    command = [
        *(sys.executable, "-c", RUN, "+sweep=quickstart", "engine=simulated", "suite=[spelling]", "judge=null"),
        *(f"hydra.searchpath=[file://{HERE}/conf]", f"model={tiny_model}", "name=new_suite"),
        *("variant=[bf16,fp8_dynamic]", "suites={spelling: {items: 4}}", "noise_runs=1", "scenario=[]"),
        *("mlflow.enabled=false", "progress=plain"),
        *(f"results_dir={tmp_path}/results", f"reports_dir={tmp_path}/reports"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, cwd=HERE.parents[2])
    assert done.returncode == 0, done.stdout + done.stderr
    found = [json.loads(path.read_text()) for path in (tmp_path / "results/new_suite/cells").glob("*/record.json")]
    assert sorted(record["cell"]["key"] for record in found) == [
        *("bf16/spelling", "bf16/spelling/r1", "fp8_dynamic/spelling")
    ]
    for record in found:
        result = record["result"]
        assert result["counts"] == {"items": 4, "truncated": 4, "empty": 0, "unparsed": 0, "errors": 0}
        assert result["scores"] == {"acc": {"value": 1.0, "n": 4}} and result["data"]["population"] == 6
        assert record["inputs"]["suite"]["items"] == 4, "set on the command line"
    page = (tmp_path / "reports/new_suite/index.html").read_text()
    assert "spelling" in page and "4 of 6" in page


def test_it_is_a_suite_of_about_forty_lines():
    classes = [
        node for node in ast.parse(Path(spelling_suite.__file__).read_text()).body if isinstance(node, ast.ClassDef)
    ]
    assert sum(node.end_lineno - node.lineno + 1 for node in classes) <= 45
