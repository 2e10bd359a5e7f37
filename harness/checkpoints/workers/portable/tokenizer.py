"""A checkpoint's tokenizer: the source's own files, in a form that transformers 4 and 5 read."""

import json
import shutil
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

FILES = (
    *(
        "tokenizer*",
        "tekken.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "chat_template*",
        "tokenization_*.py",
    ),
    *("vocab*.json", "vocab*.txt", "merges*.txt", "*.model", "*.tiktoken", "additional_chat_templates/*.jinja"),
)
VOCABULARY = ("tokenizer.json", "tekken.json", "vocab*", "*.model", "*.tiktoken")  # one of them makes a tokenizer
# Classes that transformers 4 does not have. Its generic class reads tokenizer.json as it is, like them.
GENERIC = "PreTrainedTokenizerFast"
NEW_CLASSES = ("TokenizersBackend", "PythonBackend", "SentencePieceBackend", "MistralCommonBackend")
# Loading options that transformers 5 writes; they do not describe the tokenizer.
LOADING = ("backend", "is_local", "local_files_only")


def copy_from(source: str, revision: str | None, out: Path) -> bool:
    """Copy the tokenizer files of a directory or a hub id; False where it has none or they cannot be downloaded."""
    folder = Path(source) if Path(source).is_dir() else _snapshot(source, revision)
    names = [] if folder is None else _names(folder)
    if not any(fnmatch(name, pattern) for name in names for pattern in VOCABULARY):
        return False
    try:
        for name in names:
            (out / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(folder / name, out / name)
    except OSError as error:
        print(f"tokenizer files of {source} not copied ({error}); saving the loaded tokenizer", flush=True)
        return False
    return True


def _names(folder: Path) -> list[str]:
    files = (path for path in (*folder.glob("*"), *folder.glob("*/*.jinja")) if path.is_file())
    names = (path.relative_to(folder).as_posix() for path in files)
    return sorted(name for name in names if any(fnmatch(name, p) for p in FILES if ("/" in p) == ("/" in name)))


def _snapshot(repository: str, revision: str | None) -> Path | None:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=list(FILES)))
    except Exception as error:  # offline, or its cache is incomplete; the hub's errors have several base classes
        print(f"tokenizer files of {repository} not copied ({error}); saving the loaded tokenizer", flush=True)
        return None


def readable(config: dict[str, Any], has_tokenizer_json: bool) -> dict[str, Any]:
    """Return tokenizer_config.json without what transformers 4 does not know; both versions load the same tokenizer."""
    found = {key: value for key, value in config.items() if key not in LOADING}
    if has_tokenizer_json and found.get("tokenizer_class") in NEW_CLASSES:
        found["tokenizer_class"] = GENERIC
    if isinstance(found.get("extra_special_tokens"), list):  # in transformers 4 a dict of named tokens
        extra = found.pop("extra_special_tokens")
        found["additional_special_tokens"] = _unique([*_tokens(found.get("additional_special_tokens")), *extra])
    return found


def _tokens(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value] if isinstance(value, str) else []


def _unique(tokens: list[Any]) -> list[Any]:
    """Each token once, by its text. A token is its text or a serialized AddedToken, {"content": text, ...}."""
    found: dict[str, Any] = {}
    for token in tokens:
        text = token.get("content") if isinstance(token, dict) else token
        if isinstance(text, str):
            found.setdefault(text, token)
    return list(found.values())


def make_readable(out: Path, generic: bool = False) -> None:
    """`generic`: tokenizer.json alone decides, without a model's own class, which differs between the versions.

    A file that cannot be rewritten stays as it is: the weights beside it took hours.
    """
    path = out / "tokenizer_config.json"
    if not path.is_file():
        return
    try:
        config = readable(json.loads(path.read_text(encoding="utf-8")), (out / "tokenizer.json").is_file())
        config |= {"tokenizer_class": GENERIC} if generic else {}
        written = (json.dumps(config, indent=2, ensure_ascii=False) + "\n").encode()
    except Exception as error:
        print(f"tokenizer_config.json left unchanged ({type(error).__name__}: {error})", flush=True)
        return
    path.write_bytes(written)
