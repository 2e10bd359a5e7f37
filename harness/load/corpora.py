"""Where the text of the prompts comes from. No tokens here: the planner fingerprints a corpus without a tokenizer.

    prose   scenarios/corpus/prose.txt, written for this project
    chat    scenarios/corpus/chat.jsonl, dialogues {"messages": [...]}, for the chat template
    code    the Python standard library's own modules, which every machine that runs this has
    PATH    a text file of yours; a .jsonl of dialogues when it ends so

What a scenario's `text` names is one of these.
"""

import hashlib
import json
import re
import sysconfig
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from harness.errors import ConfigError, did_you_mean
from harness.paths import scenarios_dir

CORPORA = ("prose", "chat", "code")
CODE_PIECE_CHARS = 2000

Messages = list[dict[str, Any]]


@dataclass(frozen=True)
class Corpus:
    """Pieces in their order: paragraphs, blocks of code, or dialogues. Exactly one of the two is filled."""

    name: str
    texts: tuple[str, ...] = ()
    dialogues: tuple[Messages, ...] = ()


def corpus_digest(text: str) -> str:
    """sha256 of the corpus that a scenario's `text` names; goes into the fingerprint of its cells."""
    digest = hashlib.sha256()
    for path in _files(text):
        digest.update(path.read_bytes())
    return digest.hexdigest()


@lru_cache(maxsize=8)
def load_corpus(text: str) -> Corpus:
    """Raises ConfigError for a name that is neither a corpus nor a file, and for a file without usable text."""
    files = _files(text)
    if text == "code":
        blocks = [block for path in files for block in _blocks(path.read_text(encoding="utf-8", errors="replace"))]
        return Corpus(text, texts=tuple(blocks))
    if files[0].suffix == ".jsonl":
        return Corpus(text, dialogues=_dialogues(files[0]))
    paragraphs = re.split(r"\n\s*\n", files[0].read_text(encoding="utf-8", errors="replace"))
    texts = tuple(paragraph.strip() + "\n\n" for paragraph in paragraphs if paragraph.strip())
    if not texts:
        raise ConfigError(f"corpus {text}: {files[0]} has no text")
    return Corpus(text, texts=texts)


def _files(text: str) -> list[Path]:
    if text == "code":
        # Top-level modules: 160 files, 5 MB; sorted by name, because directory order differs between machines.
        return sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    if text in CORPORA:
        path = scenarios_dir() / "corpus" / ("chat.jsonl" if text == "chat" else "prose.txt")
        if not path.is_file():
            raise ConfigError(f"corpus {text}: {path} is missing; this installation of harness is incomplete")
        return [path]
    path = Path(text).expanduser()
    if not path.is_file():
        hint = did_you_mean(text, list(CORPORA))
        raise ConfigError(f"scenario text {text!r} is neither a corpus nor an existing file{hint}")
    return [path]


def _blocks(source: str) -> list[str]:
    """Whole top-level definitions, gathered up to some 2000 characters."""
    blocks: list[str] = []
    for part in re.split(r"\n\n\n+", source):
        if blocks and len(blocks[-1]) + len(part) < CODE_PIECE_CHARS:
            blocks[-1] += part + "\n\n\n"
        else:
            blocks.append(part + "\n\n\n")
    return blocks


def _dialogues(path: Path) -> tuple[Messages, ...]:
    dialogues = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            messages = json.loads(line)["messages"]
            # System messages go: dialogues are joined, and templates refuse one in the middle.
            turns = [{"role": m["role"], "content": m["content"]} for m in messages if m["role"] != "system"]
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(f'{path}:{number}: expected {{"messages": [{{"role", "content"}}, ...]}}') from error
        while turns and turns[-1]["role"] != "assistant":
            turns.pop()
        if turns and turns[0]["role"] == "user":
            dialogues.append(turns)
    if not dialogues:
        raise ConfigError(f"{path}: no dialogue that starts with a user's message and has an answer")
    return tuple(dialogues)
