"""Data files of a mirror as people save them: read, or one line of preflight that names file and line."""

import gzip
import json
import re
import sys

import pytest

from harness.accuracy.alpaca_eval.suite import AlpacaEval, AlpacaEvalConfig
from harness.accuracy.data_files import DataError, read_csv, read_json, read_json_lines
from harness.accuracy.datasets import source
from harness.accuracy.humaneval.published_rows import load_problems
from harness.accuracy.humaneval.suite import HumanEval, HumanEvalConfig
from harness.accuracy.lm_eval.mirrors import DATA, mmlu_docs
from harness.accuracy.lm_eval.suite import LmEval, LmEvalConfig
from harness.accuracy.lm_eval.tasks import load_tasks
from harness.accuracy.perplexity import Perplexity, PerplexityConfig
from tests import commands

BOM = b"\xef\xbb\xbf"
HEAD = "question,choice0,choice1,choice2,choice3,answer\n"
MMLU = HEAD + '"Which, of these?",a,"b, c",d,e,2\n' * 6
GSM8K = '{"question": "1+1?", "answer": "It is 2.\\n#### 2"}\n' * 6
PROBLEM = {
    "task_id": "Q/0", "prompt": "def f(x):\n", "entry_point": "f", "canonical_solution": "    return x\n",
    "base_input": [[1]], "plus_input": [[2]], "atol": 0, "test": "", "contract": "",
}  # fmt: skip
ORIGINAL = {key: PROBLEM[key] for key in ("task_id", "prompt", "entry_point", "canonical_solution", "test")}
ROWS = {
    "arc_challenge": {
        "id": "a",
        "question": "q",
        "choices": {"text": ["x", "y"], "label": ["A", "B"]},
        "answerKey": "B",
    },
    "hellaswag": {"activity_label": "a", "ctx_a": "b", "ctx_b": "c", "endings": ["d", "e", "f", "g"], "label": "3"},
    "winogrande": {"sentence": "The _ fell.", "option1": "cup", "option2": "sky", "answer": "1"},
    "truthfulqa_mc2": {
        "question": "q",
        "mc1_targets": {"choices": ["x", "y"], "labels": [1, 0]},
        "mc2_targets": {"choices": ["x", "y"], "labels": [1, 0]},
    },
}
ASKED = {"arc_challenge": "test", "hellaswag": "validation", "winogrande": "validation", "truthfulqa_mc2": "validation"}


def mmlu_mirror(root, test, dev=MMLU):
    for split, text in (("dev", dev), ("test", test)):
        (root / "mmlu" / split).mkdir(parents=True, exist_ok=True)
        data = text if isinstance(text, bytes) else text.encode()
        (root / "mmlu" / split / f"astronomy_{split}.csv").write_bytes(data)
    return LmEval("mmlu", LmEvalConfig(task="mmlu", data="mmlu", fewshot=5))


def lines_mirror(root, name, test, shots):
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    for split, data in ((ASKED.get(name, "test"), test), ("train", shots)):
        (folder / f"{split}.jsonl").write_bytes(data if isinstance(data, bytes) else data.encode())
    task = {"gsm8k": "gsm8k"}.get(name, name)
    return LmEval(name, LmEvalConfig(task=task, data=name, fewshot=0 if name == "truthfulqa_mc2" else 1))


def test_a_byte_order_mark_and_crlf_change_nothing(tmp_path):
    plain, saved = tmp_path / "plain.csv", tmp_path / "saved.csv"
    plain.write_text(MMLU)
    saved.write_bytes(BOM + MMLU.replace("\n", "\r\n").encode())
    assert mmlu_docs(saved) == mmlu_docs(plain)
    assert mmlu_docs(plain)[0] == {"question": "Which, of these?", "choices": ["a", "b, c", "d", "e"], "answer": 2}


@pytest.mark.parametrize("suite", ["mmlu", "gsm8k"])
def test_lm_eval_reads_what_excel_has_saved(suite, tmp_path):
    def saved(text):
        return BOM + text.replace("\n", "\r\n").encode() + b"\r\n"

    if suite == "mmlu":
        made = mmlu_mirror(tmp_path, saved(MMLU), saved(MMLU))
    else:
        made = lines_mirror(tmp_path, "gsm8k", saved(GSM8K), saved(GSM8K))
    assert made.problems(str(tmp_path)) == []
    work = tmp_path / "work"
    work.mkdir()
    _, tasks = load_tasks(suite, suite, source(str(tmp_path), suite, ""), work)
    (task,) = tasks.values()
    assert len(task.eval_docs) == 6
    assert task.eval_docs[0]["question"].strip() in ("Which, of these?", "1+1?")


BROKEN_MMLU = {  # -> what is said, with the line
    MMLU.removeprefix(HEAD): "line 1: no column question",
    HEAD.replace("answer", "label") + "q,a,b,c,d,1\n": "line 1: no column answer",
    MMLU.replace(",", ";"): "line 1: no column",
    MMLU + "q,a,b,c,d,B\n": "line 8: answer 'B' is not 0, 1, 2 or 3",
    MMLU + "q,a,b,c,d,4\n": "line 8: answer '4'",
    MMLU + "q,a,b,c,d,1.0\n": "line 8: answer '1.0'",
    MMLU + "q,a,b\n": "line 8: 3 fields",
    MMLU + "what, then?,a,b,c,d,1\n": "line 8: 7 fields",
    MMLU + ",a,b,c,d,1\n": "line 8: no question",
    MMLU + '"never closed,a,b,c,d,1\n': "line 8: not CSV",
    HEAD: "no rows",
    "": "no column",
    MMLU.encode("utf-16-le"): "NUL",
    MMLU.encode() + b"q\xe9,a,b,c,d,1\n": "not UTF-8",
}


@pytest.mark.parametrize("where", ["test", "dev"])
@pytest.mark.parametrize("text", BROKEN_MMLU, ids=list(map(repr, BROKEN_MMLU.values())))
def test_a_broken_csv_is_named_by_preflight(text, where, tmp_path):
    suite = mmlu_mirror(tmp_path, **{"test": MMLU, "dev": MMLU, where: text})
    (problem,) = suite.problems(str(tmp_path))
    assert f"{where}/astronomy_{where}.csv" in problem and BROKEN_MMLU[text] in problem
    assert "\n" not in problem


BROKEN_GSM8K = {
    GSM8K + "{broken\n": "line 7: not a JSON object",
    GSM8K + '["q", "a"]\n': "line 7: a JSON list, not an object",
    GSM8K + '{"question": "q"}\n': "line 7: no answer",
    GSM8K + '{"question": "q", "answer": "two"}\n': "line 7: its answer has no '#### NUMBER'",
    GSM8K + '{"question": "q", "answer": 2}\n': "line 7: a value is not as expected",
    GSM8K.encode("utf-16-be"): "line 1: a NUL character, as in UTF-16 without its mark",
    "": "no rows",
}


@pytest.mark.parametrize("text", BROKEN_GSM8K, ids=list(map(repr, BROKEN_GSM8K.values())))
def test_a_broken_json_line_is_named_by_preflight(text, tmp_path):
    (problem,) = lines_mirror(tmp_path, "gsm8k", text, GSM8K).problems(str(tmp_path))
    assert "test.jsonl" in problem and BROKEN_GSM8K[text] in problem and "\n" not in problem


BROKEN_ROWS = [
    ("arc_challenge", {"answerKey": "E"}, "answerKey 'E' is not among"),
    ("arc_challenge", {"choices": ["x", "y"]}, "a value is not as expected"),
    ("hellaswag", {"label": "7"}, "label 7"),
    ("hellaswag", {"label": ""}, "a value is not as expected"),
    ("winogrande", {"answer": "A"}, "answer 'A' is not '1' or '2'"),
    ("winogrande", {"sentence": "No gap."}, "no gap"),
    ("truthfulqa_mc2", {"mc2_targets": {"choices": ["x"], "labels": [1, 0]}}, "mc2_targets needs a label"),
    ("truthfulqa_mc2", {"mc2_targets": None}, "a value is not as expected"),
]


@pytest.mark.parametrize(("name", "change", "said"), BROKEN_ROWS)
def test_a_wrong_value_of_a_row_is_named_by_preflight(name, change, said, tmp_path):
    good = json.dumps(ROWS[name]) + "\n"
    assert lines_mirror(tmp_path, name, good * 3, good * 3).problems(str(tmp_path)) == []
    bad = good * 2 + json.dumps(ROWS[name] | change) + "\n"
    (problem,) = lines_mirror(tmp_path, name, bad, good * 3).problems(str(tmp_path))
    assert said in problem and "line 3" in problem


def humaneval(root, rows, name="HumanEvalPlus.jsonl"):
    folder = root / "humaneval"
    folder.mkdir()
    text = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
    data = BOM + text.encode()
    (folder / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return HumanEval("humaneval", HumanEvalConfig(allow_unsandboxed=True))


@pytest.mark.parametrize("name", ["HumanEvalPlus.jsonl", "HumanEvalPlus-v9.jsonl.gz"])
def test_humaneval_rows_are_read_from_either_file(name, tmp_path):
    if "-" in name:
        name = "HumanEvalPlus.jsonl.gz"
    suite = humaneval(tmp_path, [PROBLEM, "", PROBLEM | {"task_id": "Q/1"}], name)
    assert suite.problems(str(tmp_path)) == []
    assert list(load_problems(source(str(tmp_path), "humaneval", ""))) == ["Q/0", "Q/1"]


WRONG_PROBLEMS = [
    (ORIGINAL, "line 2: no base_input, plus_input, atol; these are rows of the original HumanEval; put HumanEvalPlus"),
    ({k: v for k, v in PROBLEM.items() if k != "plus_input"}, "line 2: no plus_input"),
    (PROBLEM | {"prompt": '"""\nWrite a function f.\n"""\n', "task_id": "Mbpp/2"}, "its prompt has no function 'f'"),
    (PROBLEM | {"base_input": "[[1]]"}, "base_input is not a list"),
    (PROBLEM | {"atol": "0"}, "atol '0' is not a number"),
    (PROBLEM | {"entry_point": None}, "entry_point is not a text"),
    (PROBLEM, "task_id 'Q/0' occurs twice"),
    ("{", "line 2: not a JSON object"),
]


@pytest.mark.parametrize(("row", "said"), WRONG_PROBLEMS, ids=[said for _, said in WRONG_PROBLEMS])
def test_humaneval_rows_of_another_kind_are_named_by_preflight(row, said, tmp_path):
    (problem,) = humaneval(tmp_path, [PROBLEM, row]).problems(str(tmp_path))
    assert said in problem and "HumanEvalPlus.jsonl" in problem


def test_a_cut_archive_is_named_by_preflight(tmp_path):
    suite = humaneval(tmp_path, [PROBLEM], "HumanEvalPlus.jsonl.gz")
    path = tmp_path / "humaneval" / "HumanEvalPlus.jsonl.gz"
    path.write_bytes(path.read_bytes()[:-12])
    (problem,) = suite.problems(str(tmp_path))
    assert str(path) in problem and "cannot be read" in problem


def test_a_corrupted_archive_is_named_by_preflight(tmp_path):
    suite = humaneval(
        tmp_path, [PROBLEM, *(PROBLEM | {"task_id": f"Q/{n}"} for n in range(1, 50))], "HumanEvalPlus.jsonl.gz"
    )
    path = tmp_path / "humaneval" / "HumanEvalPlus.jsonl.gz"
    whole = path.read_bytes()
    for position in range(10, len(whole), 7):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :])
        (problem,) = suite.problems(str(tmp_path))
        assert str(path) in problem and "\n" not in problem


def test_json_that_is_nested_too_deeply_is_not_json(tmp_path):
    path = tmp_path / "deep.json"
    path.write_text("[" * 100_000)
    for read in (read_json, read_json_lines):
        with pytest.raises(DataError, match=r"not (a )?JSON"):
            read(path)


ANSWERS = [
    "It is 50.\n#### 50", "#### $50", "#### -1,234.5", "#### $-3", "#### 50.", "#### .5", "50",
    "twice\n#### 1\n#### 2", "#### fifty", "####50", "####  50", "#### 50%", "#### 50 apples", "#### 50 ", "#### ",
    "no number", "#### 5\n", "#### .",
]  # fmt: skip


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_is_accepted_if_lm_eval_can_score_it(answer, tmp_path):
    """lm-eval's own filters and metric, for a response that repeats the number in the answer."""
    row = {"question": "How many?", "answer": answer}
    (tmp_path / "gsm8k").mkdir()
    for split in ("train", "test"):
        (tmp_path / "gsm8k" / f"{split}.jsonl").write_text(GSM8K)
    _, tasks = load_tasks("gsm8k", "gsm8k", source(str(tmp_path), "gsm8k", ""), tmp_path)
    (task,) = tasks.values()
    number = re.sub(r"[^-0-9.]", "", answer.rpartition("#### ")[2]).removesuffix(".")
    extracted = re.search(r"#### (\-?[0-9\.\,]+)", f"#### {number}")
    scored = bool(extracted and task.process_results(row, [extracted[1]])["exact_match"] == 1)
    assert (DATA["gsm8k"].wrong(row) is None) is scored


ALPACA = [{"instruction": "Name a city.", "output": "Paris", "generator": "g"}]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (BOM + json.dumps(ALPACA).encode(), None),
        (b'{"instruction": "x"}', "not a JSON list"),
        (b"[]", "not a JSON list"),
        (b"[1]", "item 1 lacks instruction or output"),
        (json.dumps([*ALPACA, {"instruction": "x", "output": None}]).encode(), "item 2 lacks"),
        (b"[{,}]", "not JSON"),
        (json.dumps(ALPACA).encode("utf-16"), None),
        (json.dumps(ALPACA).encode("utf-16-le"), "NUL"),
    ],
)
def test_alpaca_answers_are_looked_at_by_preflight(data, said, tmp_path):
    (tmp_path / "alpaca_eval").mkdir()
    (tmp_path / "alpaca_eval" / "answers.json").write_bytes(data)
    suite = AlpacaEval("alpaca_eval", AlpacaEvalConfig())
    found = suite.problems(str(tmp_path))
    assert len(found) == (said is not None)
    assert all("answers.json" in problem and said in problem for problem in found)


@pytest.mark.parametrize(
    ("data", "said"), [(BOM + b"Some text.", None), (b"\xff\xfe\x00", "not UTF-16"), (b" \n", "no text")]
)
def test_a_text_is_looked_at_by_preflight(data, said, tmp_path):
    (tmp_path / "wikitext").mkdir()
    (tmp_path / "wikitext" / "test.txt").write_bytes(data)
    suite = Perplexity("perplexity", PerplexityConfig())
    found = suite.problems(str(tmp_path))
    assert len(found) == (said is not None)
    assert all("test.txt" in problem and said in problem for problem in found)
    if not said:
        assert suite._text(str(tmp_path)).read() == "Some text."


def test_what_no_suite_foresaw_is_a_line_of_preflight_too(tmp_path):
    """The file is a folder."""
    (tmp_path / "gsm8k" / "test.jsonl").mkdir(parents=True)
    (tmp_path / "gsm8k" / "train.jsonl").write_text(GSM8K)
    command = [sys.executable, "-m", "harness", "+sweep=quickstart", "suite=[gsm8k]", "scenario=[]", "variant=[bf16]"]
    settings = [f"data.root={tmp_path}", f"results_dir={tmp_path / 'results'}", "judge=null", "engine=simulated"]
    done = commands.run([*command, *settings])
    assert done.returncode == 2, done.stderr
    assert "test.jsonl" in done.stderr and "Traceback" not in done.stderr


def test_lines_are_counted_as_an_editor_counts_them(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text('a,b\n"two\nlines",1\nshort\n')
    with pytest.raises(DataError, match="line 4: 1 fields"):
        read_csv(path, ["a", "b"])
    path.write_text('{"a": "x\u2028y"}\n\n{"a": \n')
    with pytest.raises(DataError, match="line 3"):
        read_json_lines(path)
