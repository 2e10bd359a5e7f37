"""Prompts of a user's file as they are: `send: verbatim`.

A row of JSON lines, or of a JSON list, is one request:

    {"messages": [{"role", "content", ...}, ...]}       OpenAI's; also as the "body" of a batch file
    {"conversations": [{"from", "value"}, ...]}         ShareGPT's
    {"prompt": "text"}

Messages are sent up to the last that is not the assistant's: system messages and all turns before it. An answer at the
end is not sent; its length, or a row's own max_tokens, bounds the answer where the scenario has no output_tokens.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from harness.dialogues import ROLES, text_of
from harness.errors import ConfigError
from harness.untrusted import strict_json
from harness.untrusted.jsonlines import TextError, json_lines, read_text

FORMS = '{"messages": [{"role", "content"}, ...]}, {"conversations": [{"from", "value"}, ...]} or {"prompt": "text"}'
BOUNDS = ("max_tokens", "max_completion_tokens", "output_tokens")  # of a row
CHARS_PER_TOKEN = 4  # an estimate, for plans


@dataclass(frozen=True)
class Prompt:
    """Exactly one of `messages` and `text` is given."""

    line: int
    messages: tuple[Mapping[str, Any], ...] = ()
    text: str = ""
    answer: str = ""  # that the file has
    most_tokens: int | None = None  # of the answer, by the row

    @property
    def words(self) -> str:
        """The text of all that is sent."""
        return self.text or "\n".join(filter(None, (text_of(message.get("content")) for message in self.messages)))

    @property
    def bounded(self) -> bool:
        return bool(self.answer) or self.most_tokens is not None


@lru_cache(maxsize=8)
def load_verbatim(name: str) -> tuple[Prompt, ...]:
    """Read a file of prompts. Raises ConfigError with the line of a row that is none."""
    path = Path(name).expanduser()
    if path.suffix not in (".jsonl", ".json"):
        raise ConfigError(f"send: verbatim needs a file of JSON lines (.jsonl) or a JSON list (.json); {name} is none")
    if not path.is_file():
        raise ConfigError(f"{path}: no such file; send: verbatim reads the requests from it")
    try:
        found = tuple(_prompt(row, f"{path}:{number}", number) for number, row in _rows(path))
    except (TextError, OSError) as error:
        raise ConfigError(f"{path}: {error}") from None
    if not found:
        raise ConfigError(f"{path} is empty; expected {FORMS} in each line")
    return found


def mean_tokens(name: str, output_tokens: int) -> tuple[int, int]:
    """Estimate (prompt, answer) tokens of a request, without a tokenizer."""
    prompts = load_verbatim(name)
    sent = sum(len(prompt.words) for prompt in prompts) / CHARS_PER_TOKEN
    bounds = sum(prompt.most_tokens or len(prompt.answer) / CHARS_PER_TOKEN for prompt in prompts)
    return max(1, round(sent / len(prompts))), output_tokens or max(1, round(bounds / len(prompts)))


def bound_problem(name: str, output_tokens: int) -> str | None:
    """Say what bounds no answer: a row that has none, in a scenario without output_tokens."""
    open_ended = [prompt.line for prompt in load_verbatim(name) if not prompt.bounded]
    if output_tokens or not open_ended:
        return None
    more = f" and {len(open_ended) - 1} more" if len(open_ended) > 1 else ""
    return f"{name}:{open_ended[0]}{more}: no answer, whose length would bound the server's; set output_tokens"


def _rows(path: Path) -> Iterator[tuple[int, Any]]:
    if path.suffix == ".jsonl":
        for number, line in json_lines(path):
            try:
                yield number, strict_json.parse(line, number)
            except ValueError as error:
                raise ConfigError(f"{path}:{number}: not JSON ({error}); expected {FORMS}") from None
        return
    try:
        listed = strict_json.parse(read_text(path))
    except ValueError as error:
        raise ConfigError(f"{path}: not JSON ({error}); expected a list of {FORMS}") from None
    if not isinstance(listed, list):
        raise ConfigError(f"{path}: expected a JSON list of {FORMS}")
    yield from enumerate(listed, 1)


def _prompt(row: Any, where: str, line: int) -> Prompt:
    if isinstance(row, dict) and isinstance(row.get("body"), dict):
        row = row["body"]
    if not isinstance(row, dict):
        raise ConfigError(f"{where}: {type(row).__name__}, not an object; expected {FORMS}")
    most = next((row[key] for key in BOUNDS if row.get(key) is not None), None)
    if most is not None and (type(most) is not int or most < 1):
        raise ConfigError(f"{where}: a bound of tokens is a whole number of at least 1, got {most!r}")
    if isinstance(row.get("prompt"), str) and row["prompt"]:
        return Prompt(line, text=row["prompt"], most_tokens=most)
    given = row.get("messages", row.get("conversations"))
    if not isinstance(given, list) or not given:
        raise ConfigError(f"{where}: no messages and no prompt; expected {FORMS}")
    messages = [_message(one, f"{where}, message {number}") for number, one in enumerate(given, 1)]
    answer = ""
    if messages[-1]["role"] == "assistant":
        answer = text_of(messages.pop().get("content")) or ""
    if not any(message["role"] not in ("system", "developer") for message in messages):
        raise ConfigError(f"{where}: no message of a user to answer")
    return Prompt(line, tuple(messages), answer=answer, most_tokens=most)


def _message(one: Any, where: str) -> dict[str, Any]:
    if not isinstance(one, dict):
        raise ConfigError(f"{where}: {type(one).__name__}, not an object with role and content")
    if "from" in one and "role" not in one:
        role = ROLES.get(str(one["from"]))
        if role is None or not isinstance(one.get("value"), str):
            raise ConfigError(f"{where}: from {one['from']!r}; expected {', '.join(ROLES)}, with a text as value")
        return {"role": role, "content": one["value"]}
    if not isinstance(one.get("role"), str):
        raise ConfigError(f"{where}: no role; expected system, user, assistant or tool")
    content = one.get("content")
    parts = isinstance(content, list) and content and all(isinstance(p, dict) and "type" in p for p in content)
    if not (isinstance(content, str) or parts or (content is None and one["role"] == "assistant")):
        raise ConfigError(f"{where}: content is neither a text nor parts with a type")
    return one
