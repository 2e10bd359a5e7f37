"""Calibration files: read as scenarios read theirs, judged whole before anything is built, written in one form."""

import json
import runpy
from pathlib import Path

import pytest

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
        assert worked(path, tmp_path / str(number)) == ["user: Add 2 and 3.|assistant: 5."] * 2


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
    assert worked(path, tmp_path / "w") == ["user: Add 2 and 3."]


def test_a_spec_without_a_file_is_passed_on(tmp_path):
    for spec in ({"model": "m"}, {"calibration": {"dataset": "org/d"}}):
        assert calibration.with_dialogues(spec, tmp_path) is spec
