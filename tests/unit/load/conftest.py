import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

WORDS = "the ship left the harbour in the morning and nobody on the quay knew where it would go next " * 3


def save_tokenizer(directory, *, bos: bool = False, chat: bool = True) -> str:
    """A small byte-level BPE tokenizer as a checkpoint directory holds it."""
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<s>", "<|end|>", "<|user|>", "<|assistant|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([WORDS], trainer)
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="<|end|>")
    if chat:
        fast.chat_template = (
            "{{ '<s>' }}{% for m in messages %}{{ '<|' + m.role + '|>' + m.content + '<|end|>' }}{% endfor %}"
            "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
        )
    fast.save_pretrained(directory)
    return str(directory)


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory):
    from harness.text.tokenizer import load_tokenizer

    return load_tokenizer(save_tokenizer(tmp_path_factory.mktemp("tokenizer")))


@pytest.fixture(scope="session")
def bos_tokenizer(tmp_path_factory):
    from harness.text.tokenizer import load_tokenizer

    return load_tokenizer(save_tokenizer(tmp_path_factory.mktemp("bos_tokenizer"), bos=True, chat=False))


@pytest.fixture(scope="session")
def prose_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("corpus") / "prose.txt"
    path.write_text("\n\n".join(f"Paragraph {n} tells how {WORDS[n : n + 90]} in year {1900 + n}." for n in range(30)))
    return str(path)


@pytest.fixture(scope="session")
def chat_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("corpus") / "chat.jsonl"
    line = (
        '{{"messages": [{{"role": "system", "content": "be kind"}}, {{"role": "user", "content": "question {0}"}}, '
        '{{"role": "assistant", "content": "answer {0} of the ship"}}, {{"role": "user", "content": "and {0}?"}}, '
        '{{"role": "assistant", "content": "yes {0}"}}]}}'
    )
    path.write_text("\n".join(line.format(n) for n in range(12)) + "\n")
    return str(path)
