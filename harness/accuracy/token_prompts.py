"""What is sent for generated answers: token ids, so that every variant is asked the same, whatever server reads it.

The code prompts are evalplus's own (evalplus/codegen.py, evalplus/provider/utility.py, 0.3.1): in chat, a request for
a self-contained script in a code block, with the answer begun up to the opening fence; without chat, HumanEval's
prompt as it stands, stopped where the function ends.
"""

import hashlib
import json
from typing import Any

from harness.errors import CellError
from harness.text.tokenizer import bos_ids, encode

INSTRUCTION = (
    "Please provide a self-contained Python script that solves the following problem in a markdown code block:"
)
RESPONSE = (
    "Below is a Python script with a self-contained function that solves the problem and passes corresponding tests:"
)
CHAT_STOP = ["\n```\n", "\nif __name__", "\ndef main(", "\nprint("]
PLAIN_STOP = ["\ndef ", "\nclass ", "\nimport ", "\nfrom ", "\nassert ", "\nif __name__", "\nprint("]
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


def code_ids(tokenizer: Any, prompt: str, chat: bool) -> list[int]:
    if not chat:
        return bos_ids(tokenizer) + encode(tokenizer, prompt.strip() + "\n")  # no EOS, whatever the tokenizer adds
    return chat_ids(tokenizer, f"{INSTRUCTION}\n```\n{prompt.strip()}\n```\n", f"{RESPONSE}\n```python\n")


def digest(value: Any) -> str:
    """sha256 of a JSON value: `doc_hash` and `prompt_hash` of the item rows."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
