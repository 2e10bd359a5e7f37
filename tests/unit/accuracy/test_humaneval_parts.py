import json

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from harness.accuracy.datasets import Source, source
from harness.accuracy.humaneval import code_prompts as prompts
from harness.accuracy.humaneval import humaneval_worker as worker
from harness.accuracy.humaneval.evaluation import read
from harness.accuracy.humaneval.published_rows import load_problems
from harness.accuracy.humaneval.suite import HumanEval, HumanEvalConfig
from harness.accuracy.items import subset
from harness.accuracy.sandbox import Finished
from harness.errors import CellError, ConfigError

TEMPLATE = "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}\n{% endfor %}"


@pytest.fixture(scope="module")
def tokenizer():
    alphabet = {symbol: index for index, symbol in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    core = Tokenizer(models.BPE(alphabet, []))
    core.pre_tokenizer, core.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=core, chat_template=TEMPLATE)


def test_the_chat_prompt_is_evalplus_own(tokenizer):
    from evalplus.provider.utility import make_raw_chat_prompt

    task = 'def f(x):\n    """ Return x. """\n'
    expected = make_raw_chat_prompt(task, prompts.INSTRUCTION, prompts.RESPONSE, tokenizer)
    assert tokenizer.decode(prompts.code_ids(tokenizer, task, chat=True)) == expected
    assert expected.endswith("```python\n")


def test_stop_strings_are_evalplus_own_without_special_tokens():
    from evalplus.provider.utility import EOS, extra_eos_for_direct_completion

    spoken = {stop for stop in EOS if not stop.startswith("<")}
    assert set(prompts.CHAT_STOP) == spoken | {"\n```\n"}
    needed = spoken | set(extra_eos_for_direct_completion("humaneval"))
    assert set(prompts.PLAIN_STOP) == needed - {"\ndef main("}  # "\ndef " stops it


def test_a_tokenizer_without_template_is_refused_for_chat(tokenizer):
    plain = PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer)
    with pytest.raises(CellError, match="no chat template"):
        prompts.chat_ids(plain, "Hello")
    assert plain.decode(prompts.code_ids(plain, "def f():\n", chat=False)) == "def f():\n"


def test_subset_is_random_seeded_and_in_order():
    names = [f"t/{number}" for number in range(100)]
    chosen = subset(names, 10, 0)
    assert chosen == subset(names, 10, 0) == sorted(chosen, key=names.index) != names[:10]
    assert chosen != subset(names, 10, 1)
    assert subset(names, None, 0) == subset(names, 500, 0) == names


def test_extraction_finds_the_function_in_prose_and_survives_nonsense():
    program = "import math\n\ndef f(x):\n    return helper(x)\n\ndef helper(x):\n    return x\n"
    text = f"Here you go:\n```python\n{program}```\nDone"
    found = worker.extract({"text": text, "entry_point": "f"}, [])
    assert "helper" in found["solution"] and "Here" not in found["solution"]
    for nonsense in ("", "no code at all (", "\0", "def g(): return 1", "(" * 500):
        assert "def f" not in worker.extract({"text": nonsense, "entry_point": "f"}, [])["solution"]


def finished(lines, ended="exit", returncode=0):
    return Finished(returncode, ended, "\n".join(map(json.dumps, lines)).encode(), b"Traceback\nBoom", 1.0)


DONE = {"id": 0, "status": "pass"}


def test_the_item_that_was_begun_is_blamed_for_a_dead_sandbox():
    assert read(finished([{"start": 0}, DONE, {"start": 1}], "memory", -9), 3) == {0: DONE, 1: {"broken": "memory"}}
    assert read(finished([{"start": 0}], returncode=-9), 1) == {0: {"broken": "crash"}}


def test_a_failure_of_the_evaluation_itself_is_no_score():
    with pytest.raises(CellError, match="Boom"):
        read(finished([], returncode=1), 1)
    with pytest.raises(CellError, match="timeout_s"):
        read(finished([{"start": 0}], "wall", -9), 1)


def test_what_changes_a_result_changes_the_fingerprint_and_nothing_else():
    base = HumanEval("h", HumanEvalConfig()).fingerprint("pocket")
    assert base == HumanEval("other name", HumanEvalConfig(timeout_s=1.0)).fingerprint("pocket")
    assert base == HumanEval("h", HumanEvalConfig(top_p=0.5)).fingerprint("pocket")  # greedy has none
    sampled = {"temperature": 0.8, "samples": 10}
    changes = ({"items": 3}, {"chat": False}, {"max_tokens": 9}, {"plus": False}, {"temperature": 0.8}, sampled,
               {**sampled, "samples": 11}, {**sampled, "k": [1, 10]}, {**sampled, "top_p": 0.5})  # fmt: skip
    prints = [HumanEval("h", HumanEvalConfig(**change)).fingerprint("pocket") for change in changes]
    assert all(one != other for index, one in enumerate([base, *prints]) for other in prints[index:])


def test_pocket_problems_are_complete():
    problems = load_problems(source("pocket", "humaneval", "x"))
    assert len(problems) >= 30 and all(p["entry_point"] in p["prompt"] for p in problems.values())


def test_missing_data_and_bad_items_are_named(tmp_path):
    (problem,) = HumanEval("h", HumanEvalConfig()).problems(str(tmp_path))
    assert "suite h" in problem and "data.root" in problem
    with pytest.raises(CellError, match=r"HumanEvalPlus.jsonl"):
        load_problems(Source("mirror", "m", tmp_path))
    with pytest.raises(ConfigError, match="items"):
        HumanEval("h", HumanEvalConfig(items=0))
