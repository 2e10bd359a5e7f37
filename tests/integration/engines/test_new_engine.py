"""A new engine is one module, one line in ENGINES and one YAML file: a sweep on it, from command line to report."""

import ast
import json
import subprocess
import sys
from pathlib import Path

from tests.integration.engines import dummy_engine

HERE = Path(__file__).parent
# The line in ENGINES, and the command line with the folder of the YAML file.
RUN = """
from harness.engines import ENGINES
ENGINES["dummy"] = "tests.integration.engines.dummy_engine:Dummy"
from harness.__main__ import main
raise SystemExit(main())
"""


def test_a_sweep_runs_on_an_engine_of_one_module(tiny_model, tmp_path):
    command = [
        *(sys.executable, "-c", RUN, "+sweep=quickstart", "engine=dummy", f"hydra.searchpath=[file://{HERE}/conf]"),
        *(f"model={tiny_model}", "name=new_engine", "variant=[bf16,fp8_dynamic]", "suite=[gsm8k]", "judge=null"),
        *("suites.gsm8k.items=4", "suites.gsm8k.max_tokens=8", "suites.gsm8k.fewshot=0", "noise_runs=0"),
        *(
            "scenario=[rag_256_8]",
            "load.rates_rps=[20]",
            "load.duration_s=0.5",
            "load.min_requests=8",
            "load.repeats=1",
        ),
        *("mlflow.enabled=false", "progress=plain", "engine.gap_ms=3"),
        *(f"results_dir={tmp_path}/results", f"reports_dir={tmp_path}/reports"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, cwd=HERE.parents[2])
    assert done.returncode == 0, done.stdout + done.stderr
    found = [json.loads(path.read_text()) for path in (tmp_path / "results/new_engine/cells").glob("*/record.json")]
    assert {record["engine"]["kind"] for record in found} == {"dummy"}
    assert {record["engine"]["version"] for record in found} == {"1.0"}
    assert {record["inputs"]["engine"]["gap_ms"] for record in found} == {3.0}, "set on the command line"
    loads = [record["result"] for record in found if record["cell"]["kind"] == "load"]
    assert len(found) == 2 * 4 and len(loads) == 2 * 3, "gsm8k; single stream, throughput and one rate"
    for result in loads:
        assert result["requests_completed"] == result["requests_sent"] > 0
        assert result["completion_tokens"] == 8 * result["requests_sent"], "as long as its dialect can ask for"
        assert result["server_generation_tokens"] > 0, "read under the name that its dialect declares"
        assert result["server_running_max"] is None, "its dialect declares no other"
    assert "dummy 1.0" in (tmp_path / "reports/new_engine/index.html").read_text()


def test_it_is_an_engine_of_about_forty_lines():
    source = Path(dummy_engine.__file__).read_text()
    classes = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    assert sum(node.end_lineno - node.lineno + 1 for node in classes) <= 40
