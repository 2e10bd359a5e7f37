"""Calibration files: read as scenarios read theirs, judged whole before anything is built, written in one form."""

import json
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from jinja2 import TemplateError

from harness.checkpoints import calibration

WORKER = Path(calibration.__file__).parent / "workers/compress/calibration.py"
MESSAGES = [{"role": "user", "content": "Add 2 and 3."}, {"role": "assistant", "content": "5."}]
SHAREGPT = [{"from": "system", "value": "Be brief."}, {"from": "human", "value": "Add 2 and 3."},
            {"from": "gpt", "value": "5."}, {"from": "human", "value": "And 4?"}]  # fmt: skip


class Tokenizer:
    chat_template = "there is one"

    def apply_chat_template(self, dialogue, tokenize):
        return "|".join(f"{message['role']}: {message['content']}" for message in dialogue)


def worked(path: Path, work: Path) -> list[str]:
    """The texts that the worker calibrates on."""
    work.mkdir()
    spec = {"calibration": {"file": str(path), "samples": 9, "seed": 0}, "model": "m"}
    made = calibration.with_dialogues(spec, work)
    assert spec["calibration"]["file"] == str(path), "the spec itself is part of the fingerprint"
    return runpy.run_path(str(WORKER))["texts"](made["calibration"], Tokenizer())


@pytest.mark.parametrize("bom", ["", "\ufeff"])
@pytest.mark.parametrize("row", [{"messages": MESSAGES}, {"conversations": SHAREGPT},
                                 {"id": 7, "conversations": SHAREGPT[1:], "lang": "en"}])  # fmt: skip
def test_both_forms_reach_the_worker_alike(row, bom, tmp_path):
    line = json.dumps(row, ensure_ascii=False)
    (tmp_path / "lines.jsonl").write_text(f"{bom}{line}\r\n\n{line}", encoding="utf-8")
    (tmp_path / "list.json").write_text(bom + json.dumps([row, row]), encoding="utf-8")
    for number, name in enumerate(("lines.jsonl", "list.json")):
        path = tmp_path / name
        assert calibration.problems(str(path)) == []
        system, last = ("system: Be brief.|", "|user: And 4?") if "conversations" in row else ("", "")
        system = "" if "id" in row else system
        assert worked(path, tmp_path / str(number)) == [f"{system}user: Add 2 and 3.|assistant: 5.{last}"] * 2


def test_line_separators_inside_a_string_end_no_line(tmp_path):
    said = "first\u2028second\u2029third\x85fourth"
    path = tmp_path / "a.jsonl"
    row = {"messages": [MESSAGES[0], {"role": "assistant", "content": said}]}
    path.write_text(json.dumps(row, ensure_ascii=False) + "\n", encoding="utf-8")
    assert worked(path, tmp_path / "w") == [f"user: Add 2 and 3.|assistant: {said}"]


GOOD = json.dumps({"messages": MESSAGES})
BROKEN = {
    "no such file": (None, "No such file"),
    "empty": ("", "no dialogue"),
    "blank lines": ("\n\n", "no dialogue"),
    "cut in a string": (GOOD + "\n" + GOOD[:-9], ":2: no JSON"),
    "no object": (GOOD + "\n\n[1]", ":3: expected"),
    "text alone": (GOOD + '\n{"text": "a page"}', ":2: expected"),
    "a message without content": (GOOD + '\n{"messages": [{"role": "user"}]}', ":2: expected"),
    "unknown roles": ('{"messages": [{"role": "human being", "content": "Hi"}]}', "no dialogue"),
    "an answer without a question": ('{"conversations": [{"from": "gpt", "value": "Hi"}]}', "no dialogue"),
    "content that is no text": ('{"messages": [{"role": "user", "content": [1]}]}', "no dialogue"),
    "roles that are no text": ('{"messages": [{"role": ["user"], "content": "Hi"}]}', "no dialogue"),
    "a list that is cut": ("[" + GOOD, "no JSON list"),
    "null messages": ('{"messages": null}', ":1: expected"),
    "nested without end": ("[" * 100_000, "no JSON list"),
    "nested without end, in a line": (GOOD + '\n{"messages": ' + "[" * 100_000, ":2: no JSON"),
    "not UTF-8": (b'{"messages": "\xff\xfe"}', "UTF-8"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_is_refused_before_anything_is_built(case, tmp_path):
    content, said = BROKEN[case]
    path = tmp_path / "c.jsonl"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    (problem,) = calibration.problems(str(path))
    assert said in problem and str(path) in problem and problem.startswith("calibration")


def test_a_prompt_alone_is_enough_to_calibrate_on(tmp_path):
    path = tmp_path / "prompts"
    path.write_text(json.dumps({"messages": [{"role": "system", "content": "Be brief."}, MESSAGES[0]]}))
    assert worked(path, tmp_path / "w") == ["system: Be brief.|user: Add 2 and 3."]


def test_a_spec_without_a_file_is_passed_on(tmp_path):
    for spec in ({"model": "m"}, {"calibration": {"dataset": "org/d"}}):
        assert calibration.with_dialogues(spec, tmp_path) is spec


BRIEF = [{"type": "text", "text": "Be "}, {"type": "text", "text": "brief."}]
PARTS = {"messages": [{"role": "developer", "content": BRIEF},
                      {"role": "user", "content": [{"type": "text", "text": "Add 2 and 3."}]}]}  # fmt: skip


def test_text_parts_are_joined_and_developers_are_systems(tmp_path):
    path = tmp_path / "parts.jsonl"
    path.write_text(json.dumps(PARTS))
    assert calibration.problems(str(path), samples=40) == []
    assert worked(path, tmp_path / "w") == ["system: Be brief.|user: Add 2 and 3."]


def test_dropped_rows_are_counted_where_they_leave_too_few(tmp_path):
    path = tmp_path / "c.jsonl"
    image = {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}
    path.write_text("\n".join([GOOD, json.dumps(image), GOOD]))
    assert calibration.problems(str(path), samples=2) == []
    (problem,) = calibration.problems(str(path), samples=3)
    assert "2 of 3 dialogues are left" in problem and "row 2 " in problem and "calibration.samples=2" in problem
    path.write_text(GOOD)
    assert calibration.problems(str(path), samples=40) == [], "a small file is used whole"


class NoSystem(Tokenizer):
    def apply_chat_template(self, dialogue, tokenize):
        if dialogue[0]["role"] == "system":
            raise TemplateError("System role not supported")
        return super().apply_chat_template(dialogue, tokenize)


@pytest.mark.parametrize(("tokenizer", "system"), [(Tokenizer(), "system: Be brief.|"), (NoSystem(), "")])
def test_rows_of_a_dataset_are_read_as_those_of_a_file(tokenizer, system, monkeypatch):
    rows = [PARTS, {"conversations": SHAREGPT[:2]}, {"messages": [{"role": "user", "content": None}]}]
    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=lambda *_, **__: rows))
    spec = {"dataset": "org/d", "split": "train", "samples": 9, "seed": 0}
    assert runpy.run_path(str(WORKER))["texts"](spec, tokenizer) == [f"{system}user: Add 2 and 3."] * 2


def of_dataset(rows: list[dict], monkeypatch) -> list[str]:
    """The texts that the worker calibrates on, of the rows of a dataset."""
    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=lambda *_, **__: rows))
    spec = {"dataset": "org/chats", "split": "train", "samples": 9, "seed": 0}
    return runpy.run_path(str(WORKER))["texts"](spec, Tokenizer())


def test_a_dataset_row_without_messages_is_left_out(monkeypatch):
    assert of_dataset([{"messages": None}, {"messages": MESSAGES}], monkeypatch) == ["user: Add 2 and 3.|assistant: 5."]


@pytest.mark.parametrize("row", [{"messages": 5}, {"messages": [7]}, {"messages": [{"role": "user"}]}, {"other": []}])
def test_a_dataset_row_of_another_form_is_one_line(row, monkeypatch):
    with pytest.raises(SystemExit, match=r"calibration: row 1 of org/chats is not .*set another dataset"):
        of_dataset([{"messages": MESSAGES}, row], monkeypatch)
