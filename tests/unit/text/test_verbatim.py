"""Prompts of a user's file as they are: the forms that files have, and the line of what is none."""

import json

import pytest

from harness.errors import ConfigError
from harness.text.verbatim import bound_problem, load_verbatim, mean_tokens

SYSTEM = {"role": "system", "content": "Be brief."}
USER = {"role": "user", "content": "Who are you?"}
ANSWER = {"role": "assistant", "content": "A model."}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


@pytest.fixture
def file(tmp_path):
    def write(*rows, name="prompts.jsonl"):
        path = tmp_path / name
        path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
        return str(path)

    return write


def test_messages_are_kept_up_to_the_last_that_is_not_an_answer(file):
    tool = [{"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}, {"role": "tool", "content": "42"}]
    whole, open_ended, batch, called = load_verbatim(
        file(
            {"messages": [SYSTEM, USER, ANSWER, USER, ANSWER]},
            {"messages": [USER]},
            {"custom_id": "7", "body": {"messages": [USER], "max_tokens": 9, "model": "other"}},
            {"messages": [USER, *tool], "id": 3},
        )
    )
    assert whole.messages == (SYSTEM, USER, ANSWER, USER) and whole.answer == "A model."
    assert open_ended.messages == (USER,) and not open_ended.bounded
    assert batch.messages == (USER,) and batch.most_tokens == 9
    assert called.messages == (USER, *tool), "as they are"


def test_the_forms_of_sharegpt_and_of_plain_prompts(file):
    said = [
        {"from": "system", "value": "Be brief."},
        {"from": "human", "value": "Hi"},
        {"from": "gpt", "value": "Yes?"},
    ]
    name = file({"conversations": said}, {"prompt": "Once upon a time", "output_tokens": 5}, "  ")
    share, plain = load_verbatim(name)
    assert share.messages == (SYSTEM, {"role": "user", "content": "Hi"}) and share.answer == "Yes?"
    assert (plain.text, plain.messages, plain.most_tokens) == ("Once upon a time", (), 5)
    assert load_verbatim(file(json.dumps([{"messages": [USER]}]), name="list.json"))[0].messages == (USER,)
    assert mean_tokens(name, 30) == (4, 30)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("{not json", r"prompts.jsonl:2: not JSON"),
        ('{"messages": 1e999}', r":2: "),
        ("[1]", r":2: list, not an object; expected"),
        ({"messages": []}, r":2: no messages and no prompt"),
        ({"prompt": ""}, r":2: no messages and no prompt"),
        ({"messages": [{"content": "Hi"}]}, r":2, message 1: no role; expected system, user"),
        ({"messages": [USER, "Hi"]}, r":2, message 2: str, not an object with role and content"),
        ({"messages": [{"role": "user"}]}, r":2, message 1: content is neither a text nor parts"),
        ({"messages": [{"role": "user", "content": 7}]}, r":2, message 1: content is neither"),
        ({"messages": [SYSTEM]}, r":2: no message of a user to answer"),
        ({"messages": [SYSTEM, ANSWER]}, r":2: no message of a user to answer"),
        ({"conversations": [{"from": "martian", "value": "Hi"}]}, r":2, message 1: from 'martian'; expected human"),
        ({"messages": [USER], "max_tokens": 0}, r":2: a bound of tokens is a whole number of at least 1, got 0"),
        ({"messages": [USER], "max_tokens": "9"}, r":2: a bound of tokens"),
    ],
)
def test_a_row_that_is_no_prompt_is_named_by_file_and_line(file, row, said):
    with pytest.raises(ConfigError, match=said):
        load_verbatim(file({"messages": [USER]}, row))


def test_a_file_that_is_none(file, tmp_path):
    with pytest.raises(ConfigError, match=r"prompts.jsonl is empty; expected \{\"messages\""):
        load_verbatim(file())
    with pytest.raises(ConfigError, match="needs a file of JSON lines"):
        load_verbatim("prose")
    with pytest.raises(ConfigError, match="expected a JSON list"):
        load_verbatim(file({"messages": [USER]}, name="one.json"))


def test_images_are_kept_and_their_text_is_counted(file):
    parts = {"role": "user", "content": [{"type": "text", "text": "What is this?"}, IMAGE]}
    (prompt,) = load_verbatim(file({"messages": [parts]}))
    assert prompt.messages == (parts,) and prompt.words == ""


def test_an_answer_must_be_bounded_by_something(file):
    name = file({"messages": [USER, ANSWER]}, {"messages": [USER]}, {"prompt": "x"})
    assert bound_problem(name, 0) == (
        f"{name}:2 and 1 more: no answer, whose length would bound the server's; set output_tokens"
    )
    assert bound_problem(name, 16) is None
    assert bound_problem(file({"messages": [USER, ANSWER]}, name="answered.jsonl"), 0) is None
