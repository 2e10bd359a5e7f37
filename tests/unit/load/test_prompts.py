import copy
import random

import pytest
from tokenizers import Tokenizer, decoders, models, processors
from transformers import PreTrainedTokenizerFast

from harness.errors import CellError, ConfigError
from harness.loadgen.traffic.prompts import make_block_prompts, make_prompts, writer
from harness.loadgen.traffic.replay import Arrival
from harness.loadgen.traffic.retokenize import count_ids, make_texts
from harness.text.corpora import Corpus, load_corpus
from harness.text.tokenizer import bos_ids, load_tokenizer

BLOCK = 16  # tokens that a prefix cache matches at once


@pytest.mark.parametrize("tokens", [1, 7, 16, 100, 1024])
@pytest.mark.parametrize("corpus", ["prose_file", "chat_file", "code"])
def test_prompts_have_exactly_the_tokens_asked(request, tokenizer, corpus, tokens):
    text = corpus if corpus == "code" else request.getfixturevalue(corpus)
    prompts = make_prompts(tokenizer, load_corpus(text), [tokens, 3, tokens], seed=1)
    assert [len(prompt) for prompt in prompts] == [tokens, 3, tokens]


@pytest.mark.parametrize("tokens", [1, 2, 7, 16, 100, 1024])
@pytest.mark.parametrize("corpus", ["prose_file", "chat_file", "code"])
def test_texts_become_exactly_the_tokens_asked(request, tokenizer, corpus, tokens):
    text = corpus if corpus == "code" else request.getfixturevalue(corpus)
    texts = make_texts(tokenizer, load_corpus(text), [tokens] * 5, seed=1)
    assert [len(tokenizer(text)["input_ids"]) for text in texts] == [tokens] * 5


def test_a_text_counts_the_bos_that_the_engine_adds(bos_tokenizer, prose_file):
    for text in make_texts(bos_tokenizer, load_corpus(prose_file), [2, 30, 200], seed=1):
        ids = bos_tokenizer(text)["input_ids"]
        assert ids[0] == bos_tokenizer.bos_token_id
        assert bos_tokenizer.bos_token not in text
    texts = make_texts(bos_tokenizer, load_corpus(prose_file), [2, 30, 200], seed=1)
    assert [len(bos_tokenizer(text)["input_ids"]) for text in texts] == [2, 30, 200]


def test_texts_share_their_first_tokens_and_nothing_after_them(tokenizer, prose_file):
    text = load_corpus(prose_file)
    options = {"shared_tokens": 40, "shared_seed": 9}
    texts = [t for seed in (1, 2) for t in make_texts(tokenizer, text, [120] * 25, seed=seed, **options)]
    ids = [count_ids(tokenizer, text) for text in texts]
    assert {len(one) for one in ids} == {120}
    assert len({tuple(one[:40]) for one in ids}) == 1
    assert len({tuple(one[40 : 40 + BLOCK]) for one in ids}) == 50


def test_texts_share_their_prefix_where_a_piece_may_reach_over_its_end():
    """As in SentencePiece, which does not split at words: of "was" and " 11", the s goes into the piece "s 1"."""
    pieces = [*"was 1234iuth\n", " 1", "s 1"]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    joining = Tokenizer(models.BPE(vocabulary, [(" ", "1"), ("s", " 1")]))
    joining.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=joining)
    corpus = Corpus("words", texts=("was as 11 is 12 us 13 this\n\n",))
    texts = list(make_texts(tokenizer, corpus, [60] * 20, seed=1, shared_tokens=3))
    assert {tuple(tokenizer(text)["input_ids"][:3]) for text in texts} == {tuple(map(vocabulary.get, "was"))}
    assert {len(tokenizer(text)["input_ids"]) for text in texts} == {60}


def test_a_tokenizer_that_cannot_make_the_text_is_said_to(tokenizer, prose_file):
    twofold = copy.deepcopy(tokenizer)
    twofold.backend_tokenizer.post_processor = processors.TemplateProcessing(single="$A $A", special_tokens=[])
    (text,) = make_texts(twofold, load_corpus(prose_file), [40], seed=1)
    assert len(count_ids(twofold, text)) == 40
    with pytest.raises(CellError, match=r"exactly 41 tokens.*send_as: ids"):
        list(make_texts(twofold, load_corpus(prose_file), [41], seed=1))


def test_a_long_prompt_comes_from_a_small_corpus(tokenizer, prose_file, chat_file):
    for text in (prose_file, chat_file):
        (prompt,) = make_prompts(tokenizer, load_corpus(text), [10240], seed=1)
        assert len(prompt) == 10240


@pytest.mark.parametrize("corpus", ["prose_file", "chat_file"])
def test_no_two_prompts_share_a_cache_block(request, tokenizer, corpus):
    text = load_corpus(request.getfixturevalue(corpus))
    prompts = [p for seed in (1, 2) for p in make_prompts(tokenizer, text, [64] * 500, seed=seed)]
    assert len({tuple(prompt[:BLOCK]) for prompt in prompts}) == 1000


def test_the_shared_prefix_is_shared_and_nothing_after_it(tokenizer, prose_file):
    text = load_corpus(prose_file)
    options = {"shared_tokens": 40, "shared_seed": 9}
    prompts = [p for seed in (1, 2) for p in make_prompts(tokenizer, text, [100] * 50, seed=seed, **options)]
    assert {len(prompt) for prompt in prompts} == {100}
    assert len({tuple(prompt[:40]) for prompt in prompts}) == 1
    assert len({tuple(prompt[40 : 40 + BLOCK]) for prompt in prompts}) == 100


def test_bos_comes_first_and_counts(tokenizer, bos_tokenizer, prose_file):
    assert bos_ids(tokenizer) == []
    assert bos_ids(bos_tokenizer) == [bos_tokenizer.bos_token_id]
    prompts = list(make_prompts(bos_tokenizer, load_corpus(prose_file), [50] * 20, seed=1, shared_tokens=10))
    assert {len(prompt) for prompt in prompts} == {50}
    assert all(prompt[0] == bos_tokenizer.bos_token_id for prompt in prompts)
    assert all(bos_tokenizer.bos_token_id not in prompt[1:] for prompt in prompts)


def test_a_chat_ends_where_the_model_is_to_answer(tokenizer, chat_file):
    for prompt in make_prompts(tokenizer, load_corpus(chat_file), [60] * 10, seed=1):
        text = tokenizer.decode(prompt)
        assert text.endswith("<|end|><|assistant|>")
        assert "<|user|>" in text
        assert "be kind" not in text


def test_chat_without_a_template_says_what_to_do(bos_tokenizer, chat_file):
    with pytest.raises(CellError, match="text: prose"):
        list(make_prompts(bos_tokenizer, load_corpus(chat_file), [60], seed=1))


def test_a_shared_prefix_must_fit(tokenizer, prose_file):
    with pytest.raises(ConfigError, match="shared_prefix_tokens"):
        list(make_prompts(tokenizer, load_corpus(prose_file), [60], seed=1, shared_tokens=60))


def test_a_later_message_is_what_the_template_would_have_written(tokenizer, chat_file):
    """Together with the answer before it, it decodes to the template's text of the whole conversation."""
    message = writer(tokenizer, load_corpus(chat_file)).message(30, random.Random(1))
    assert len(message) == 30
    text = tokenizer.decode(message)
    assert text.startswith("<|end|><|user|>")
    assert text.endswith("<|end|><|assistant|>")
    words = text.removeprefix("<|end|><|user|>").removesuffix("<|end|><|assistant|>")
    roles = [("user", "hello"), ("assistant", "so it is"), ("user", words)]
    messages = [{"role": role, "content": content} for role, content in roles]
    whole = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert whole.endswith("so it is" + text)


def test_a_message_too_short_for_the_template_is_refused(tokenizer, chat_file):
    with pytest.raises(CellError, match="turn_tokens 4: the chat template alone puts 4"):
        writer(tokenizer, load_corpus(chat_file)).message(4, random.Random(1))


def test_a_template_that_forgets_what_was_said_cannot_continue_it(tokenizer, chat_file):
    forgetful = copy.deepcopy(tokenizer)
    forgetful.chat_template = "{{ messages[-1].content }}<|assistant|>"
    with pytest.raises(CellError, match="does not repeat what was said"):
        writer(forgetful, load_corpus(chat_file)).message(30, random.Random(1))


@pytest.mark.parametrize("corpus", ["prose_file", "chat_file"])
def test_blocks_of_a_trace_are_shared_where_their_ids_are(request, tokenizer, corpus):
    text = load_corpus(request.getfixturevalue(corpus))
    arrivals = [Arrival(0, 1100, 1, (7, 8, 9)), Arrival(1, 1500, 1, (7, 8, 10)), Arrival(2, 600, 1, (11, 8))]
    one, two, three = make_block_prompts(tokenizer, text, arrivals, seed=1)
    assert [len(one), len(two), len(three)] == [1100, 1500, 600]
    assert one[:1024] == two[:1024]
    assert one[1024 : 1024 + BLOCK] != two[1024 : 1024 + BLOCK]
    assert one[:BLOCK] != three[:BLOCK]
    assert one[512:600] == three[512:]
    (other,) = make_block_prompts(tokenizer, text, arrivals[:1], seed=2)
    assert other[:BLOCK] != one[:BLOCK], "another load point finds nothing of this one's"


def test_blocks_start_with_bos_where_a_prompt_does(bos_tokenizer, prose_file):
    arrivals = [Arrival(0, 512, 1, (7,)), Arrival(1, 520, 1, (7, 8)), Arrival(2, 520, 1, (7, 9))]
    one, two, three = make_block_prompts(bos_tokenizer, load_corpus(prose_file), arrivals, seed=1)
    assert [len(one), len(two), len(three)] == [512, 520, 520]
    assert one[0] == bos_tokenizer.bos_token_id
    assert one == two[:512] == three[:512]
    assert two[512] != three[512], "BOS takes the place of a token: blocks stay where they are"


def test_a_broken_tokenizer_is_an_error_with_its_place(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(CellError, match=str(tmp_path)):
        load_tokenizer(str(tmp_path))
