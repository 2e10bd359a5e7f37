"""The client that the load benchmark runs for the harness: both of its ways, against a scripted server."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.parametrize("keep_tokens", [True, False])
def test_it_writes_a_result_and_a_line_a_request(scripted, tiny_model, tmp_path, monkeypatch, keep_tokens):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    from loadgen_peers import ours_cell

    cell = ours_cell.Cell(scripted.server.base_url, "tiny", str(tiny_model), 3, 5, 1, keep_tokens=keep_tokens)
    (tmp_path / "cell.json").write_text(json.dumps(asdict(cell)))
    ours_cell.main(tmp_path)
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["requests_completed"] == 3 and result["completion_tokens"] == 15
    lines = (tmp_path / ("tokens.jsonl" if keep_tokens else "rows.jsonl")).read_text().splitlines()
    assert len(lines) == 3
    if keep_tokens:
        assert [len(json.loads(line)["token_s"]) for line in lines] == [5, 5, 5]
