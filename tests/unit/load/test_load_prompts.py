import pytest

from harness.config import Scenario
from harness.errors import CellError, ConfigError
from harness.load import LoadPoint
from harness.load.corpora import corpus_digest, load_corpus
from harness.load.measure import plan_requests
from harness.load.prompts import bos_ids, load_tokenizer, make_prompts

BLOCK = 16  # tokens that a prefix cache matches at once


@pytest.mark.parametrize("tokens", [1, 7, 16, 100, 1024])
@pytest.mark.parametrize("corpus", ["prose_file", "chat_file", "code"])
def test_prompts_have_exactly_the_tokens_asked(request, tokenizer, corpus, tokens):
    text = corpus if corpus == "code" else request.getfixturevalue(corpus)
    prompts = make_prompts(tokenizer, load_corpus(text), count=5, tokens=tokens, seed=1)
    assert [len(prompt) for prompt in prompts] == [tokens] * 5


def test_a_long_prompt_comes_from_a_small_corpus(tokenizer, prose_file, chat_file):
    for text in (prose_file, chat_file):
        (prompt,) = make_prompts(tokenizer, load_corpus(text), count=1, tokens=10240, seed=1)
        assert len(prompt) == 10240


@pytest.mark.parametrize("corpus", ["prose_file", "chat_file"])
def test_no_two_prompts_share_a_cache_block(request, tokenizer, corpus):
    text = load_corpus(request.getfixturevalue(corpus))
    prompts = [p for seed in (1, 2) for p in make_prompts(tokenizer, text, count=500, tokens=64, seed=seed)]
    assert len({tuple(prompt[:BLOCK]) for prompt in prompts}) == 1000


def test_the_shared_prefix_is_shared_and_nothing_after_it(tokenizer, prose_file):
    text = load_corpus(prose_file)
    prompts = make_prompts(tokenizer, text, count=50, tokens=100, seed=1, shared_tokens=40, shared_seed=9)
    prompts += make_prompts(tokenizer, text, count=50, tokens=100, seed=2, shared_tokens=40, shared_seed=9)
    assert {len(prompt) for prompt in prompts} == {100}
    assert len({tuple(prompt[:40]) for prompt in prompts}) == 1
    assert len({tuple(prompt[40 : 40 + BLOCK]) for prompt in prompts}) == 100


def test_bos_comes_first_and_counts(tokenizer, bos_tokenizer, prose_file):
    assert bos_ids(tokenizer) == []
    assert bos_ids(bos_tokenizer) == [bos_tokenizer.bos_token_id]
    prompts = make_prompts(bos_tokenizer, load_corpus(prose_file), count=20, tokens=50, seed=1, shared_tokens=10)
    assert {len(prompt) for prompt in prompts} == {50}
    assert all(prompt[0] == bos_tokenizer.bos_token_id for prompt in prompts)
    assert all(bos_tokenizer.bos_token_id not in prompt[1:] for prompt in prompts)


def test_a_chat_ends_where_the_model_is_to_answer(tokenizer, chat_file):
    for prompt in make_prompts(tokenizer, load_corpus(chat_file), count=10, tokens=60, seed=1):
        text = tokenizer.decode(prompt)
        assert text.endswith("<|end|><|assistant|>")
        assert "<|user|>" in text
        assert "be kind" not in text


def test_chat_without_a_template_says_what_to_do(bos_tokenizer, chat_file):
    with pytest.raises(CellError, match="text: prose"):
        make_prompts(bos_tokenizer, load_corpus(chat_file), count=1, tokens=60, seed=1)


def test_a_shared_prefix_must_fit(tokenizer, prose_file):
    with pytest.raises(ConfigError, match="shared_prefix_tokens"):
        make_prompts(tokenizer, load_corpus(prose_file), count=1, tokens=60, seed=1, shared_tokens=60)


def test_the_traffic_does_not_depend_on_the_variant(tokenizer, prose_file):
    scenario = Scenario(prompt_tokens=32, output_tokens=4, text=prose_file)
    point = LoadPoint("server", 2.0, 5)
    one = plan_requests("bf16", tokenizer, "chat_32_4", scenario, point, 0)
    two = plan_requests("int4", tokenizer, "chat_32_4", scenario, point, 0)
    assert [r.intended_s for r in one] == [r.intended_s for r in two]
    assert [r.body.replace(b"bf16", b"int4") for r in one] == [r.body for r in two]


def test_every_point_and_repeat_has_fresh_prompts(tokenizer, prose_file):
    scenario = Scenario(prompt_tokens=32, output_tokens=4, text=prose_file)
    points = [LoadPoint("single_stream", None, 4), LoadPoint("server", 2.0, 4), LoadPoint("server", 2.0, 4, 1)]
    bodies = [r.body for p in points for r in plan_requests("m", tokenizer, "chat_32_4", scenario, p, 0)]
    assert len(set(bodies)) == 12


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
    bad.write_text('{"messages": [{"role": "user"}]}\n')
    with pytest.raises(ConfigError, match=r"bad\.jsonl:1"):
        load_corpus(str(bad))
    one_sided = tmp_path / "one.jsonl"
    one_sided.write_text('{"messages": [{"role": "user", "content": "hello"}]}\n')
    with pytest.raises(ConfigError, match="no dialogue"):
        load_corpus(str(one_sided))


def test_the_digest_follows_the_text(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text("one")
    first = corpus_digest(str(path))
    path.write_text("two")
    assert corpus_digest(str(path)) != first
    assert corpus_digest("code") == corpus_digest("code")


def test_a_broken_tokenizer_is_an_error_with_its_place(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(CellError, match=str(tmp_path)):
        load_tokenizer(str(tmp_path))
