"""Data, rows, errors, logs, streams and stores hold no secret."""

import io
import json
import logging
import sys
import threading
import time
from dataclasses import replace

from harness.console import output
from harness.console.output import MaskedFormatter, MaskedStream
from harness.engines import process
from harness.errors import CellError, PreflightError
from harness.records.accuracy_result import AccuracyResult
from harness.records.cell import Cell
from harness.records.engine_facts import EngineFacts
from harness.records.failed_cell import FailedCell
from harness.records.manifest import Manifest, Variant
from harness.records.record import Record
from harness.records.store import Store
from harness.redaction.learning import learn as learn_value
from harness.redaction.masked_data import mask_data, mask_row
from harness.redaction.masking import excerpt


def test_data_is_masked_by_value_and_by_key_and_stays_json():
    learn_value("12345678")
    data = {"env": {"HF_TOKEN": "x", "A": "1"}, "args": ["--api-key", "y", "-n", "5"], "n": 12345678, "f": [0.5, None]}
    data |= {"uri": "http://a:b@h", "said": "got 12345678", "http://a:b@h": 1, "api_key_env": "HF_TOKEN", "token": " a"}
    masked = mask_data(data)
    assert masked["env"] == {"HF_TOKEN": "***", "A": "1"} and masked["args"] == ["--api-key", "***", "-n", "5"]
    assert masked["n"] == 12345678 and masked["f"] == [0.5, None] and masked["said"] == "got ***"
    assert masked["uri"] == "http://***@h" and masked["http://***@h"] == 1
    assert masked["api_key_env"] == "HF_TOKEN" and masked["token"] == " a"


def test_answers_of_models_are_changed_by_known_values_alone():
    learn_value("k9Xw2Lq8Rt5Vb7Nm")
    code = {"response": 'url = "http://user:pass@host"; PASSWORD = "x1y2"', "error": None}
    assert mask_row(code, json.dumps(code)) is code
    row = {"response": "the key is k9Xw2Lq8Rt5Vb7Nm", "error": {"kind": "http_500", "message": "http://u:p@h"}}
    assert mask_row(row, json.dumps(row)) == {
        "response": "the key is ***",
        "error": {"kind": "http_500", "message": "http://***@h"},
    }


def test_errors_logs_and_streams_are_masked(capsys):
    assert str(CellError("http://a:b@h failed")) == "http://***@h failed"
    assert PreflightError(["http://a:b@h"]).problems == ["http://***@h"]
    try:
        raise RuntimeError("at http://a:b@h")
    except RuntimeError:
        record = logging.LogRecord("harness", logging.ERROR, "f", 1, "%s", ("HF_TOKEN=abc",), sys.exc_info())
    shown = MaskedFormatter("%(message)s").format(record)
    assert "HF_TOKEN=***" in shown and "RuntimeError: at http://***@h" in shown
    stream = MaskedStream(sys.stdout)
    for part in ("see http://a:", "b@h", " now\nand", " more"):
        stream.write(part)
    assert capsys.readouterr().out == "see http://***@h now\n"
    stream.flush()
    assert capsys.readouterr().out == "and more" and stream.encoding == sys.stdout.encoding


def test_switches_keep_their_values_in_data():
    env = {"SGLANG_PER_TOKEN_GROUP_QUANT_8BIT_V2": "0", "USE_SECRET": "1", "HF_TOKEN": "None", "API_KEY": "0x"}
    assert mask_data(env) == env | {"API_KEY": "***"}
    for words in (["--reasoning-end-token", "</think>"], ["--token", "--port"], ["--hf-token", None]):
        assert mask_data(words) == words
    assert mask_data(["--token", "abc"]) == ["--token", "***"]


def test_a_stream_is_written_by_one_thread_at_a_time(monkeypatch):
    inside, most = [], []

    def slow(text):
        inside.append(text)
        most.append(len(inside))
        time.sleep(0.002)
        inside.remove(text)
        return text

    monkeypatch.setattr(output, "mask", slow)
    stream = MaskedStream(into := io.StringIO())

    def write(name):
        for number in range(10):
            stream.write(f"<{name} {number}>\n")
            stream.flush()

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(into.getvalue().splitlines()) == sorted(f"<{name} {n}>" for name in "abcd" for n in range(10))
    assert max(most) == 1


def test_a_store_masks_rows_and_never_the_identity_of_a_cell(tmp_path):
    store = Store(tmp_path)
    cell = Cell("bf16/hunter2/1", "accuracy", "bf16", "hunter2", suite="mmlu")
    result = AccuracyResult(primary="x")
    record = Record(cell=cell, fingerprint="hunter2", result=result, engine=EngineFacts(log="at hunter2"))
    rows = [{"response": "hunter2", "error": "http://a:b@h"}, {"response": "http://a:b@h"}]
    store.write(record, rows)  # nothing is known yet
    manifest = Manifest("s", "bf16", {"bf16": Variant("bf16", "hunter2")}, suites=("mmlu",), cells=(cell,))
    store.write_manifest(manifest)
    store.write_failure("bf16/hunter2/2", "hunter2 failed", None)
    learn_value("hunter2", certain=True)
    stored = store.record("hunter2")
    assert stored == replace(record, engine=EngineFacts(log="at ***"), files=stored.files, schema=stored.schema)
    assert store.rows("hunter2") == [{"response": "***", "error": "http://***@h"}, rows[1]]
    assert store.manifest() == replace(manifest, variants={"bf16": Variant("bf16", "***")})
    assert store.failures() == [FailedCell("bf16/hunter2/2", "*** failed")]
    other = replace(record, cell=replace(cell, fingerprint="hunter2b"), fingerprint="hunter2b")
    store.write(other, rows)
    written = (tmp_path / "cells" / "bf16--hunter2--1--hunter2b" / "record.json").read_text()
    assert json.loads(written)["cell"] == other.cell.to_json() and json.loads(written)["engine"]["log"] == "at ***"


def test_the_tail_of_a_log_is_selected_before_it_is_masked(tmp_path, monkeypatch):
    log, asked = tmp_path / "log", []
    lines = [f"line {number}" for number in range(2000)]
    lines[9] = "ValueError: no http://a:b@h"
    log.write_text("\n\n".join(lines))
    monkeypatch.setattr(process, "excerpt", lambda text, length: asked.append(text) or excerpt(text, length))
    assert process.log_tail(log, 2).splitlines() == [
        "    | ValueError: no http://***@h", "    | line 1998", "    | line 1999",
    ]  # fmt: skip
    assert len(asked) == 3
