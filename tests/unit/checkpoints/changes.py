"""A checkpoint folder, and what may be changed in it."""

import json
import os
import struct
from pathlib import Path

SHAPE = [256, 256]
RECIPE = {"quantization": {"method": "rtn", "scheme": "FP8_DYNAMIC"}, "ignore": []}


def safetensors(path: Path, values: dict[str, int]) -> None:
    header, data = {}, b""
    for name, byte in values.items():
        raw = bytes([byte]) * (2 * SHAPE[0] * SHAPE[1])
        header[name] = {"dtype": "BF16", "shape": SHAPE, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def overwrite(path: Path, offset: int, data: bytes) -> None:
    """In place, with the times it had."""
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def edit(name: str, old: str, new: str):
    def change(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))

    return change


def second_shard(folder: Path) -> None:
    safetensors(folder / "model-00002-of-00002.safetensors", {"layers.1.up": 1, "layers.1.down": 2, "layers.1.last": 1})


CHANGES = {
    "weights in the middle of a file": lambda f: overwrite(f / "model-00001-of-00002.safetensors", 200_000, b"\2"),
    "the second shard, same shapes": second_shard,
    "tokenizer": edit("tokenizer.json", '"a"', '"b"'),
    "template in tokenizer_config": edit("tokenizer_config.json", "{{ messages }}", "{{ message }}"),
    "template in its own file": edit("chat_template.jinja", "messages", "message"),
    "another template in its own file": edit("additional_chat_templates/tools.jinja", "tools", "tool"),
    "generation config": edit("generation_config.json", "0.6", "0.7"),
    "added tokens": edit("added_tokens.json", "<tool>", "<toal>"),
    "code": edit("modeling_own.py", "1", "2"),
    "index": edit("model.safetensors.index.json", "layers.0.up", "layers.0.ap"),
    "adapter weights": lambda f: overwrite(f / "adapter_model.safetensors", 100_000, b"\2"),
    "adapter settings": edit("adapter_config.json", "8", "9"),
    "merges": edit("merges.txt", "a b", "b a"),
    "config": edit("config.json", "llama", "llamb"),
    "a new template": lambda f: (f / "chat_template.json").write_text("{}"),
    "a file less": lambda f: (f / "added_tokens.json").unlink(),
    "a file under another name": lambda f: (f / "merges.txt").rename(f / "vocab.txt"),
    "older PyTorch weights beside": lambda f: (f / "pytorch_model.bin").write_bytes(b"\0"),
}
NO_TOKENIZER = {
    name for name in CHANGES if name.startswith(("weights", "the second", "generation", "index", "adapter", "older"))
}
