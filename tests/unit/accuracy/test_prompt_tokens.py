"""Prompts whatever special tokens a tokenizer adds: no EOS at the end, one BOS, and text that gives the same ids."""

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from harness.accuracy.humaneval.code_prompts import code_ids
from harness.accuracy.lm_eval.model import ServedModel
from harness.accuracy.text_prompts import sendable
from harness.accuracy.token_prompts import chat_ids
from harness.engines import Server
from harness.engines.dialect import VLLM
from harness.errors import CellError
from harness.text.tokenizer import bos_ids

BOS, EOS = 0, 1
TEMPLATES = {"nothing": "$A", "bos": "<s> $A", "eos": "$A </s>", "both": "<s> $A </s>"}
CHAT = (
    "<s>{% for m in messages %}[{{ m.role }}] {{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %} [assistant]{% endif %}"
)


@pytest.fixture(params=list(TEMPLATES))
def tokenizer(request, tmp_path):
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = {word: number for number, word in enumerate(["<s>", "</s>", *alphabet])}
    backend = Tokenizer(models.BPE(vocab=words, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(["<s>", "</s>"])
    special = [("<s>", BOS), ("</s>", EOS)]
    backend.post_processor = TemplateProcessing(single=TEMPLATES[request.param], special_tokens=special)
    made = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>", chat_template=CHAT)
    made.adds = request.param
    made.save_pretrained(tmp_path)
    made.folder = str(tmp_path)
    return made


def test_a_code_prompt_ends_in_no_eos_and_begins_with_one_bos_at_most(tokenizer):
    ids = code_ids(tokenizer, "def f():\n", chat=False)
    assert EOS not in ids
    assert ids.count(BOS) == len(bos_ids(tokenizer)) == (tokenizer.adds in ("bos", "both"))
    assert tokenizer.decode(ids, skip_special_tokens=True) == "def f():\n"


def test_a_templated_prompt_has_the_template_s_bos_alone(tokenizer):
    for ids in (chat_ids(tokenizer, "Hello"), code_ids(tokenizer, "def f():\n", chat=True)):
        assert (ids[0], ids.count(BOS), ids.count(EOS)) == (BOS, 1, 0)


def test_few_shot_prompts_are_tokenized_as_lm_eval_does(tokenizer):
    model = ServedModel(Server("http://127.0.0.1:1", "m"), tokenizer.folder, max_tokens=4, concurrency=1)
    for text in ("Question: 1\nAnswer:", "<s>[user] Question: 1 [assistant]"):
        ids = model.tok_encode(text)
        assert ids == model.encode_many([text])[0]
        assert EOS not in ids
        assert ids.count(BOS) == (text.startswith("<s>") or tokenizer.adds in ("bos", "both"))


TEXTS = ["def f():\n", "  two spaces, tab\tand \n\n newlines", "Grüße, 東京 🙂", "a <s> inside"]


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_prompt_becomes_the_same_ids(tokenizer, text):
    server = Server("http://127.0.0.1:1", "m", dialect=VLLM.for_text_prompts())
    ids = bos_ids(tokenizer) + tokenizer(text, add_special_tokens=False)["input_ids"]
    if tokenizer.adds in ("eos", "both"):  # the server would add EOS to a text
        with pytest.raises(CellError, match=r"engine\.send_as=text: the server would read"):
            list(sendable(server, tokenizer, [ids]))
        return
    (sent,) = sendable(server, tokenizer, [ids])
    assert sent == text
    assert tokenizer(sent)["input_ids"] == ids, "as a server tokenizes it"
    assert list(sendable(Server("http://127.0.0.1:1", "m"), tokenizer, [ids])) == [ids]


def test_a_template_s_bos_is_not_sent_twice(tokenizer):
    server = Server("http://127.0.0.1:1", "m", dialect=VLLM.for_text_prompts())
    ids = chat_ids(tokenizer, "Hello")
    if tokenizer.adds in ("nothing", "bos"):
        (sent,) = sendable(server, tokenizer, [ids])
        assert tokenizer(sent)["input_ids"] == ids
        assert sent.startswith("<s>") is (tokenizer.adds == "nothing")
