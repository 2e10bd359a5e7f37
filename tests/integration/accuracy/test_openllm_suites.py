"""The Open LLM Leaderboard v1's other suites: choices of several tokens, contexts of their own, fractional scores.

Their data comes from the hub; here it lies in folders of the hub's layout, which `datasets` takes for the hub's.
"""

import json

import pytest

from harness.accuracy import Context
from harness.accuracy.lm_eval.suite import LmEval
from harness.sweeps.composing import compose
from tests.integration.accuracy.small_lm_server import Seen

WORDS = ["river", "stone", "copper", "window", "garden", "winter", "silver", "market", "engine", "paper", "harbor"]
WORDS += ["candle", "meadow", "signal", "bridge"]
TASKS = ["arc_challenge", "hellaswag", "truthfulqa_mc2", "winogrande"]


def sentence(n: int, length: int = 4) -> str:
    return " ".join(WORDS[(n * 7 + k * k) % len(WORDS)] for k in range(length))


def arc(n: int) -> dict:
    choices = {"text": [sentence(n + k, 1 + k) for k in range(4)], "label": list("ABCD")}
    return {"id": f"q{n}", "question": f"Which {sentence(n)}?", "choices": choices, "answerKey": "ABCD"[n % 4]}


def hellaswag(n: int) -> dict:
    texts = {"ctx_a": f"A {sentence(n)} stands.", "ctx_b": "then it", "endings": [sentence(n + k) for k in range(4)]}
    return {"ind": n, "activity_label": "Walking", "split": "val", "label": str(n % 4), **texts}


def truthfulqa(n: int) -> dict:
    def targets(true):
        return {"choices": [sentence(n + k, 3) for k in range(4)], "labels": [int(k < true) for k in range(4)]}

    return {"question": f"Is it {sentence(n)}?", "mc1_targets": targets(1), "mc2_targets": targets(2)}


def winogrande(n: int) -> dict:
    options = {"option1": WORDS[n % 15], "option2": WORDS[(n + 4) % 15], "answer": str(1 + n % 2)}
    return {"sentence": f"The {sentence(n)} met _ because it {sentence(n + 1)}.", **options}


HUB = {  # repository: (config, splits, row)
    "allenai/ai2_arc": ("ARC-Challenge", ("train", "validation", "test"), arc),
    "Rowan/hellaswag": ("default", ("train", "validation"), hellaswag),
    "truthfulqa/truthful_qa": ("multiple_choice", ("validation",), truthfulqa),
    "allenai/winogrande": ("winogrande_xl", ("train", "validation"), winogrande),
}


@pytest.fixture
def hub(tmp_path, monkeypatch):
    folder = tmp_path / "hub"
    for repository, (config, splits, row) in HUB.items():
        (data := folder / repository / "data").mkdir(parents=True)
        for split in splits:
            (data / f"{split}.jsonl").write_text("".join(json.dumps(row(n)) + "\n" for n in range(40)))
        files = [f"    - {{split: {split}, path: data/{split}.jsonl}}" for split in splits]
        head = ["---", "configs:", f"- config_name: {config}", "  data_files:", *files, "---", ""]
        (folder / repository / "README.md").write_text("\n".join(head))
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.fixture(scope="module")
def suites():
    return compose.compose_sweep(["+sweep=quickstart", "suite=[openllm]", "judge=null"]).suites


def test_the_group_is_six_suites_with_the_leaderboards_shots(suites):
    shots = {name: suite.fewshot for name, suite in suites.items()}
    assert shots == {
        "arc_challenge": 25, "hellaswag": 10, "mmlu": 0, "truthfulqa_mc2": 0, "winogrande": 5, "gsm8k": 3,
    }, "quickstart asks MMLU with none, GSM8K with three"  # fmt: skip


def stock(small_server, task: str, fewshot: int, items: dict[str, list[int]]) -> dict[str, dict]:
    from lm_eval import simple_evaluate

    url = small_server.server.base_url + "/v1/completions"
    report = simple_evaluate(
        model="local-completions",
        model_args={
            "model": "tiny", "base_url": url, "tokenizer": small_server.tokenizer,
            "tokenizer_backend": "huggingface", "num_concurrent": 8, "max_length": small_server.context_length,
        },
        tasks=[task], num_fewshot=fewshot, samples=items, bootstrap_iters=0,
    )  # fmt: skip
    return {f"{task}/{sample['doc_id']}": sample for sample in report["samples"][task]}


@pytest.mark.parametrize("name", TASKS)
def test_every_item_is_what_lm_evals_own_client_gets(hub, suites, small_server, tmp_path, name):
    config = suites[name]
    config.items = 12
    (tmp_path / "work").mkdir()
    context = Context(small_server.server, small_server.tokenizer, None, 0, 8, tmp_path / "work", Seen().progress)
    outcome = LmEval(name, config).run(context)
    assert outcome.result.counts.items == 12 and outcome.result.primary == (config.metric or "acc")
    assert outcome.result.details["multiple_choice"] == "one request a choice"
    indices = sorted(int(row["id"].rpartition("/")[2]) for row in outcome.rows)
    theirs = stock(small_server, name, config.fewshot, {name: indices})
    for row in outcome.rows:
        sample = theirs[row["id"]]
        assert row["scores"] == pytest.approx({metric: sample[metric] for metric in sample["metrics"]})
        assert row["prompt_hash"] == sample["prompt_hash"] and row["doc_hash"] == sample["doc_hash"]
        assert list(row["logprobs"].values()) == pytest.approx([resp[0][0] for resp in sample["resps"]])


@pytest.mark.parametrize("name", TASKS)
def test_pocket_items_are_asked_of_a_real_model(suites, small_server, tmp_path, name):
    config = suites[name]
    config.items, config.fewshot = None, min(config.fewshot, 3)  # its context is short
    context = Context(small_server.server, small_server.tokenizer, "pocket", 0, 8, tmp_path, Seen().progress)
    outcome = LmEval(name, config).run(context)
    assert outcome.result.data.name == f"pocket {name}" and outcome.result.counts.items >= 12
    assert not outcome.flags or {flag.code for flag in outcome.flags} <= {"prompts_cut"}
    scores = [row["scores"][outcome.result.primary] for row in outcome.rows]
    assert all(0 <= score <= 1 for score in scores) and len(set(scores)) > 1, "a model that is no constant"
