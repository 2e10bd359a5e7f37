"""The prompts are evalplus's own (evalplus/codegen.py, evalplus/provider/utility.py, 0.3.1).

In chat, a request for a self-contained script in a code block, with the answer begun up to the opening fence; without
chat, HumanEval's prompt unchanged, stopped where the function ends.
"""

from typing import Any

from harness.accuracy.token_prompts import chat_ids
from harness.text.tokenizer import bos_ids, encode

INSTRUCTION = (
    "Please provide a self-contained Python script that solves the following problem in a markdown code block:"
)
RESPONSE = (
    "Below is a Python script with a self-contained function that solves the problem and passes corresponding tests:"
)
CHAT_STOP = ["\n```\n", "\nif __name__", "\ndef main(", "\nprint("]
PLAIN_STOP = ["\ndef ", "\nclass ", "\nimport ", "\nfrom ", "\nassert ", "\nif __name__", "\nprint("]


def stop_strings(chat: bool) -> list[str]:
    return CHAT_STOP if chat else PLAIN_STOP


def code_ids(tokenizer: Any, prompt: str, chat: bool) -> list[int]:
    if not chat:
        return bos_ids(tokenizer) + encode(tokenizer, prompt.strip() + "\n")  # no EOS, whatever the tokenizer adds
    return chat_ids(tokenizer, f"{INSTRUCTION}\n```\n{prompt.strip()}\n```\n", f"{RESPONSE}\n```python\n")
