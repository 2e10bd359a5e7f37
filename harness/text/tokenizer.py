"""A checkpoint's tokenizer, as transformers reads it."""

import os
from typing import Any

from harness.errors import CellError
from harness.hub import access
from harness.hub.failures import Place, first_line
from harness.hub.waiting import bound


def load_tokenizer(model: str, revision: str | None = None) -> Any:
    """The tokenizer of a checkpoint directory or hub id; transformers, without torch."""
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")  # that torch is absent is meant
    from transformers import AutoTokenizer

    bound()
    try:
        return AutoTokenizer.from_pretrained(model, revision=revision)
    except Exception as error:  # transformers raises OSError, ValueError, KeyError, ... for a broken one
        local = os.path.isdir(model)
        said = first_line(error) if local else access.why(error, Place(model, "model", revision))
        raise CellError(f"the tokenizer of {model} cannot be loaded: {said}") from error


def bos_ids(tokenizer: Any) -> list[int]:
    """[BOS] if the tokenizer puts one in front of a text: engines add nothing to a prompt of token ids."""
    bos = tokenizer.bos_token_id
    return [bos] if bos is not None and tokenizer("a")["input_ids"][:1] == [bos] else []


def encode(tokenizer: Any, text: str) -> list[int]:
    # verbose=False: pieces longer than the model's context are cut here, no need to warn about them
    return tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
