"""Where the text of the prompts comes from. No tokens here: the planner fingerprints a corpus without a tokenizer.

    prose   scenarios/corpus/prose.txt, written for this project
    chat    scenarios/corpus/chat.jsonl, dialogues {"messages": [...]}, for the chat template
    code    the Python standard library's own modules, which every machine that runs this has
    hub:DATASET[@REVISION][:SPLIT[:FIELD]]   text or dialogues of a dataset on the hub (hub_text.py)
    PATH    a file of yours: text; dialogues when it ends in .jsonl (one a line) or .json (a list, as ShareGPT's is)

What a scenario's `text` names is one of these. A dialogue is {"messages": [{"role", "content"}]} or ShareGPT's
{"conversations": [{"from", "value"}]}.
"""

import hashlib
import re
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from harness.dialogues import FORMS, Messages, dialogue, messages_of
from harness.errors import ConfigError, did_you_mean
from harness.paths import scenarios_dir
from harness.text import hub_text
from harness.untrusted import strict_json
from harness.untrusted.jsonlines import TextError, json_lines, read_text

CORPORA = ("prose", "chat", "code")
CODE_PIECE_CHARS = 2000


@dataclass(frozen=True)
class Corpus:
    """Pieces in their order: paragraphs, blocks of code, or dialogues. Exactly one of the two is filled."""

    name: str
    texts: tuple[str, ...] = ()
    dialogues: tuple[Messages, ...] = ()

    @property
    def writings(self) -> tuple[str, ...]:
        """The words alone, whoever says them."""
        return self.texts or tuple(message["content"] for dialogue in self.dialogues for message in dialogue)


def corpus_digest(text: str) -> str:
    """sha256 of the corpus that a scenario's `text` names, of a hub dataset's identity; goes into the fingerprint."""
    digest = hashlib.sha256()
    if is_on_hub(text):
        digest.update(hub_text.identity(text).encode())
    else:
        for path in _files(text):
            digest.update(path.read_bytes())
    return digest.hexdigest()


@lru_cache(maxsize=8)
def load_corpus(text: str) -> Corpus:
    """Raises ConfigError for a name that is neither a corpus nor a file, and for a file without usable text."""
    if text.startswith(hub_text.PREFIX):
        return _hub_corpus(text)
    files = _files(text)
    if text == "code":
        blocks = [block for path in files for block in _blocks(read_text(path, "replace"))]
        return Corpus(text, texts=tuple(blocks))
    if files[0].suffix in (".json", ".jsonl"):
        try:
            dialogues = tuple(filter(None, _file_dialogues(files[0])))
        except (TextError, OSError) as error:
            raise ConfigError(f"{files[0]}: {error}") from None
        if not dialogues:
            raise ConfigError(f"{files[0]}: no dialogue that starts with a user's message and has an answer")
        return Corpus(text, dialogues=dialogues)
    try:
        texts = tuple(_paragraphs([read_text(files[0])]))
    except (TextError, OSError) as error:
        raise ConfigError(f"corpus {text}: {files[0]}: {error}") from None
    if not texts:
        raise ConfigError(f"corpus {text}: {files[0]} has no text")
    return Corpus(text, texts=texts)


def is_on_hub(text: str) -> bool:
    """Whether it names a dataset that this machine may not have."""
    return text.startswith(hub_text.PREFIX) and not Path(hub_text.parse(text).dataset).is_dir()


def _files(text: str) -> list[Path]:
    if text == "code":
        # Top-level modules: 160 files, 5 MB; sorted by name, because directory order differs between machines.
        return sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    if text in CORPORA:
        path = scenarios_dir() / "corpus" / ("chat.jsonl" if text == "chat" else "prose.txt")
        if not path.is_file():
            raise ConfigError(f"corpus {text}: {path} is missing; this installation of harness is incomplete")
        return [path]
    if text.startswith(hub_text.PREFIX):
        return sorted(path for path in Path(hub_text.parse(text).dataset).rglob("*") if path.is_file())
    path = Path(text).expanduser()
    if not path.is_file():
        hint = did_you_mean(text, [*CORPORA, "hub:DATASET"])
        raise ConfigError(f"scenario text {text!r} is neither a corpus nor an existing file{hint}")
    return [path]


def _hub_corpus(name: str) -> Corpus:
    values = [value for value in hub_text.read_values(name) if value]
    texts = tuple(_paragraphs(value for value in values if isinstance(value, str)))
    if texts:
        return Corpus(name, texts=texts)
    try:
        dialogues = tuple(filter(None, map(dialogue, values)))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError(f"corpus {name}: its field holds neither text nor messages: {str(values[0])[:80]}") from error
    if not dialogues:
        raise ConfigError(f"corpus {name}: neither text nor a dialogue with an answer in its first {len(values)} rows")
    return Corpus(name, dialogues=dialogues)


def _paragraphs(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        for paragraph in re.split(r"\n\s*\n", text):
            if paragraph.strip():
                yield paragraph.strip() + "\n\n"


def _blocks(source: str) -> list[str]:
    """Whole top-level definitions, gathered up to some 2000 characters."""
    blocks: list[str] = []
    for part in re.split(r"\n\n\n+", source):
        if blocks and len(blocks[-1]) + len(part) < CODE_PIECE_CHARS:
            blocks[-1] += part + "\n\n\n"
        else:
            blocks.append(part + "\n\n\n")
    return blocks


def _file_dialogues(path: Path) -> Iterator[Messages]:
    for number, row in _rows(path):
        try:
            found = strict_json.parse(row, number) if isinstance(row, str) else row
            said = dialogue(messages_of(found))
        except (KeyError, TypeError, AttributeError) as error:
            raise ConfigError(f"{path}:{number}: expected {FORMS}") from error
        except ValueError as error:
            raise ConfigError(f"{path}:{number}: not JSON ({error}); expected {FORMS}") from None
        yield said


def _rows(path: Path) -> Iterator[tuple[int, Any]]:
    """Lines of JSON lines as text, and the values of a JSON list, each with its number."""
    if path.suffix == ".jsonl":
        yield from json_lines(path)
        return
    try:
        yield from enumerate(strict_json.parse(read_text(path)), 1)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{path}: expected a JSON list of dialogues: {error}") from error
