import json
import os
import subprocess
import sys

import pytest

from harness.config.schema import Config
from harness.config.workloads import Scenario
from harness.errors import ConfigError
from harness.sweeps.preflight import preflight
from harness.text import hub_text as hub
from harness.text.corpora import corpus_digest, load_corpus

pytestmark = pytest.mark.slow

SHAREGPT = [
    {"id": "a", "conversations": [{"from": "human", "value": "why?"}, {"from": "gpt", "value": "because"}]},
    {"id": "b", "conversations": [{"from": "gpt", "value": "an answer without a question"}]},
    {"id": "c", "conversations": []},
]
WHY = [{"role": "user", "content": "why?"}, {"role": "assistant", "content": "because"}]


@pytest.fixture
def dataset(tmp_path, monkeypatch):
    """A directory that the datasets library loads as it does a dataset of the hub."""
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))

    def make(name: str, *rows: dict) -> str:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return f"hub:{folder}"

    return make


def test_unknown_corpora_are_refused_by_name(tmp_path):
    with pytest.raises(ConfigError, match="did you mean 'prose'"):
        load_corpus("pros")
    with pytest.raises(ConfigError, match=r"nowhere\.txt"):
        corpus_digest(str(tmp_path / "nowhere.txt"))


def test_useless_files_are_refused(tmp_path):
    empty = tmp_path / "empty.txt"
    empty.write_text(" \n\n ")
    with pytest.raises(ConfigError, match="no text"):
        load_corpus(str(empty))
    bad = tmp_path / "bad.jsonl"
    bad.write_text('\n{"messages": [{"role": "user"}]}\n')
    with pytest.raises(ConfigError, match=r"bad\.jsonl:2"):
        load_corpus(str(bad))
    one_sided = tmp_path / "one.jsonl"
    one_sided.write_text('{"messages": [{"role": "user", "content": "hello"}]}\n')
    with pytest.raises(ConfigError, match="no dialogue"):
        load_corpus(str(one_sided))
    broken = tmp_path / "broken.json"
    broken.write_text("[{]")
    with pytest.raises(ConfigError, match=r"broken\.json.*list of dialogues"):
        load_corpus(str(broken))
    for name in ("deep.json", "deep.jsonl"):
        (tmp_path / name).write_text("[" * 100_000)
        with pytest.raises(ConfigError, match=name):
            load_corpus(str(tmp_path / name))


def test_sharegpt_files_are_dialogues(tmp_path):
    path = tmp_path / "sharegpt.json"
    path.write_text(json.dumps(SHAREGPT))
    assert load_corpus(str(path)).dialogues == (WHY,)


def test_dialogues_alternate_and_end_with_an_answer(tmp_path):
    """Chat templates refuse two messages of one role."""
    path = tmp_path / "mine.jsonl"
    roles = ["system", "user", "assistant", "user", "user", "assistant"]
    path.write_text(json.dumps({"messages": [{"role": role, "content": role} for role in roles]}))
    (dialogue,) = load_corpus(str(path)).dialogues
    assert [message["role"] for message in dialogue] == ["user", "assistant"]


def test_the_digest_follows_the_text(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text("one")
    first = corpus_digest(str(path))
    path.write_text("two")
    assert corpus_digest(str(path)) != first
    assert corpus_digest("code") == corpus_digest("code")


def test_hub_names_have_a_form():
    assert hub.parse("hub:a/b") == hub.HubText("a/b")
    assert hub.parse("hub:a/b@12ab:test:story") == hub.HubText("a/b", "12ab", "test", "story")
    for name in ("hub:", "hub:a/b::story", "hub:a:b:c:d"):
        with pytest.raises(ConfigError, match=r"hub:DATASET\[@REVISION\]"):
            hub.parse(name)


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"id": 1, "text": "one\n\ntwo", "prompt": "no"}, ("one\n\n", "two\n\n")),
        ({"prompt": "once upon", "id": 1}, ("once upon\n\n",)),
        ({"messages": WHY, "prompt": "no"}, (WHY,)),
        ({"conversations": SHAREGPT[0]["conversations"]}, (WHY,)),
    ],
    ids=["text", "prompt", "messages", "conversations"],
)
def test_the_field_of_a_hub_dataset_is_found(dataset, row, expected):
    corpus = load_corpus(dataset("data", row))
    assert (corpus.texts or corpus.dialogues) == expected


def test_a_field_may_be_named(dataset):
    name = dataset("data", {"text": "no", "story": "yes"})
    assert load_corpus(f"{name}:train:story").texts == ("yes\n\n",)
    with pytest.raises(ConfigError, match=r"no field 'tale'.*text, story"):
        load_corpus(f"{name}:train:tale")
    with pytest.raises(ConfigError, match=r"none of the fields text.*has question"):
        load_corpus(dataset("other", {"question": "?"}))
    with pytest.raises(ConfigError, match="neither text nor messages: 7"):
        load_corpus(dataset("numbers", {"text": 7}))


def test_an_unknown_split_is_named(dataset):
    with pytest.raises(ConfigError, match="valid"):
        load_corpus(dataset("data", {"text": "one"}) + ":valid")


def test_only_the_start_of_a_hub_dataset_is_read(dataset, monkeypatch):
    monkeypatch.setattr(hub, "ROWS", 3)
    assert len(load_corpus(dataset("data", *({"text": f"row {n}"} for n in range(10)))).texts) == 3
    monkeypatch.setattr(hub, "ROWS", 100)
    monkeypatch.setattr(hub, "CHARS", 7)  # row 1 goes beyond it
    assert len(load_corpus(dataset("more", *({"text": f"row {n}"} for n in range(10)))).texts) == 2


def test_without_the_hub_a_plan_is_made_and_a_measurement_says_why_not(tmp_path):
    """In a process of its own: the hub's libraries read their settings when they are imported."""
    code = """
from harness.text.corpora import corpus_digest, load_corpus
print(corpus_digest("hub:nobody/nothing") != corpus_digest("hub:nobody/nothing@12ab"))
try:
    load_corpus("hub:nobody/nothing")
except Exception as error:
    print(type(error).__name__, error)
"""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    assert first == "True"
    assert second.startswith("ConfigError corpus hub:nobody/nothing: dataset nobody/nothing is not in the hub's cache")


def test_a_hub_directory_is_fingerprinted_by_its_files(dataset):
    name = dataset("data", {"text": "one"})
    first = corpus_digest(name)
    with open(f"{name.removeprefix('hub:')}/train.jsonl", "a") as file:
        file.write('{"text": "two"}\n')
    assert corpus_digest(name) != first


@pytest.mark.parametrize("mark", ["\u2028", "\u2029", "\u0085"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lines_of_json_end_at_a_line_feed_and_nowhere_else(tmp_path, mark, end):
    said = f"one{mark}two"
    dialogue = {"conversations": [{"from": "human", "value": said}, {"from": "gpt", "value": "yes"}]}
    line = json.dumps(dialogue, ensure_ascii=False)
    path = tmp_path / "talk.jsonl"
    path.write_bytes(f"\ufeff{line}{end}{end}{line}".encode())
    assert [dialogue[0]["content"] for dialogue in load_corpus(str(path)).dialogues] == [said, said]


def test_text_in_another_encoding_is_named(tmp_path):
    path = tmp_path / "talk.jsonl"
    path.write_bytes('\n{"messages": ["\u00e9"]}'.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"talk\.jsonl: line 2, byte 16: 0xe9 is not UTF-8 text .*save the file"):
        load_corpus(str(path))


def test_text_that_cannot_be_read_is_found_in_preflight(tmp_path):
    path = tmp_path / "talk.jsonl"
    path.write_text(
        '{"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]}\nnonsense\n'
    )
    config = Config(scenarios={"chat_9_9": Scenario(text=str(path)), "rag_9_9": Scenario(text="nowhere.txt")})
    first, second = preflight.text_problems(config)
    assert "scenarios.chat_9_9.text" in first and "talk.jsonl:2" in first
    assert "scenarios.rag_9_9.text" in second and "nowhere.txt" in second


def test_dialogues_of_newer_interfaces_are_read_alike(tmp_path):
    parts = [{"role": "developer", "content": "Be brief."},
             {"role": "user", "content": [{"type": "text", "text": "why"}, {"type": "text", "text": "?"}]},
             {"role": "assistant", "content": "because"}]  # fmt: skip
    path = tmp_path / "parts.jsonl"
    path.write_text(json.dumps({"messages": parts}))
    assert load_corpus(str(path)).dialogues == (WHY,)
