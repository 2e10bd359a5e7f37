"""What is sent for generated answers: token ids, so that every variant is asked the same, whatever server reads it."""

from typing import Any

from harness.errors import CellError
from harness.text.tokenizer import encode

_MARK = "-[the answer goes on here]-"


def chat_ids(tokenizer: Any, instruction: str, begun: str = "") -> list[int]:
    """One user turn through the chat template; the answer starts after `begun`."""
    if not tokenizer.chat_template:
        raise CellError(f"{tokenizer.name_or_path} has no chat template; set chat: false, or another tokenizer")
    messages = [{"role": "user", "content": instruction}]
    if begun:
        messages.append({"role": "assistant", "content": begun + _MARK})
        text = tokenizer.apply_chat_template(messages, tokenize=False).split(_MARK)[0]
    else:
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return encode(tokenizer, text)  # the template has written the special tokens
