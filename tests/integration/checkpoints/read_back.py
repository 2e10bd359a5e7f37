"""Runs inside an environment with some version of transformers: what it reads of checkpoints, as JSON.

    python read_back.py TEXTS.json CHECKPOINT ...  -> {checkpoint: {ids, chat, special, rope, error}}

No torch is needed: tokenizers and configurations are read without it.
"""

import json
import sys
import warnings
from pathlib import Path

warnings.filterwarnings("ignore")

from transformers import AutoConfig, AutoTokenizer  # noqa: E402

CHAT = [{"role": "user", "content": "What is 2 + 2?\n"}, {"role": "assistant", "content": "4"}]
OLD_FIELDS = ("rope_theta", "rope_scaling", "rope_local_base_freq", "partial_rotary_factor")


def read(folder: str, texts: list[str]) -> dict:
    try:
        tokenizer, config = AutoTokenizer.from_pretrained(folder), AutoConfig.from_pretrained(folder)
    except Exception as error:  # which is what is looked for
        return {"error": f"{type(error).__name__}: {error}"}
    text = config.get_text_config()
    return {
        "ids": [tokenizer(line)["input_ids"] for line in texts],
        "decoded": [tokenizer.decode(tokenizer(line)["input_ids"]) for line in texts],
        "special": [tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token, len(tokenizer)],
        "all_special": sorted(map(str, tokenizer.all_special_tokens)),
        "chat": tokenizer.apply_chat_template(CHAT, tokenize=False) if tokenizer.chat_template else None,
        "rope_parameters": getattr(text, "rope_parameters", None),
        "old": {name: getattr(text, name, None) for name in OLD_FIELDS},
    }


def main() -> None:
    texts = json.loads(Path(sys.argv[1]).read_text())
    print(json.dumps({folder: read(folder, texts) for folder in sys.argv[2:]}))


if __name__ == "__main__":
    main()
