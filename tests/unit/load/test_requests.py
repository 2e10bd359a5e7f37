import json

import pytest

from harness.loadgen.client.requests import MARK, continue_body, make_chat_request, make_request, said_ids, said_message
from harness.loadgen.client.trace import Asked


def body(prompt, **options) -> bytes:
    return make_request(0, 0.0, "the model", prompt, Asked(9, 4), **options).body


def test_a_request_asks_for_exactly_its_tokens():
    request = make_request(3, 1.5, "m", [5, 6], Asked(2, 40))
    sent = json.loads(request.body)
    assert (sent["prompt"], sent["max_tokens"], sent["min_tokens"]) == ([5, 6], 40, 40)
    assert sent["ignore_eos"]
    assert sent["stream"]
    assert "return_token_ids" not in sent
    assert (request.index, request.intended_s) == (3, 1.5)
    assert request.max_bytes > 40 * 1000, "room for every token's event"


def test_a_text_is_sent_as_it_is():
    assert json.loads(body('say "[1]",\n\\é'))["prompt"] == 'say "[1]",\n\\é'


def test_who_is_continued_gives_the_ids_of_the_answer():
    assert json.loads(body([5], continued=True))["return_token_ids"] is True


def test_a_conversation_grows_by_the_answer_and_the_next_message():
    first = body([1, 2, 3], continued=True)
    second = continue_body(body([MARK, 7, 8], continued=True), first, said_ids([40, 50]))
    assert second == body([1, 2, 3, 40, 50, 7, 8], continued=True)
    third = continue_body(body([MARK, 9]), second, said_ids([60]))
    assert third == body([1, 2, 3, 40, 50, 7, 8, 60, 9])


def test_a_message_and_an_answer_may_be_empty():
    assert continue_body(body([MARK]), body([1]), said_ids([])) == body([1])


def test_names_that_look_like_prompts_are_left_alone():
    odd = '"prompt":[-1'
    first = make_request(0, 0.0, odd, [1, 2], Asked(2, 4)).body
    template = make_request(1, 0.0, odd, [MARK, 3], Asked(6, 4, 1)).body
    sent = json.loads(continue_body(template, first, said_ids([9])))
    assert (sent["prompt"], sent["model"]) == ([1, 2, 9, 3], odd)


def test_what_cannot_be_continued_is_not_sent_as_it_was():
    with pytest.raises(ValueError):
        continue_body(body([5, 6]), body([1]), said_ids([2]))
    with pytest.raises(ValueError):
        continue_body(body([MARK, 6]), body("a text"), said_ids([2]))


def test_a_later_chat_turn_resends_the_messages_and_the_answer():
    def chat(*messages):
        return make_chat_request(0, 0.0, "m", messages, Asked(9, 4)).body

    nasty = 'ends ],"model": or "messages":[ or -1\n'
    first = chat({"role": "user", "content": nasty})
    second = continue_body(chat(MARK, {"role": "user", "content": "and?"}), first, said_message(nasty))
    third = continue_body(chat(MARK, {"role": "user", "content": "so?"}), second, said_message("ok"))
    said = [(m["role"], m["content"]) for m in json.loads(third)["messages"]]
    assert said == [("user", nasty), ("assistant", nasty), ("user", "and?"), ("assistant", "ok"), ("user", "so?")]
