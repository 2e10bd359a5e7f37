"""What a checkpoint in a folder is: the content of every file that an engine or a tokenizer may read.

A file counts unless it is known to be read by nothing that is measured: documentation, another framework's weights,
what a training run leaves behind, hidden files. A new kind of file that an engine reads therefore counts from the
start. Names count beside the bytes; where the folder is, its times and its links do not.
"""

import contextlib
import json
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from harness.checkpoints.file_digests import Digests, blake3_of
from harness.errors import ConfigError, HarnessError

WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".gguf")
DOCUMENTS = re.compile(
    r"(readme|license|licence|notice|copying|changelog|citation|use_policy|third_party)[\w-]*(\.(txt|cff))?"
    r"|.*\.(md|rst|png|jpe?g|gif|webp|svg|pdf|html?|ipynb|log|lock|mp4|wav)",
    re.IGNORECASE,
)
OTHER_FRAMEWORKS = re.compile(r".*\.(h5|msgpack|onnx|onnx_data|ot|tflite|mlmodel)")
TRAINING = re.compile(
    r"training_args\.bin|optimizer\w*\.(pt|bin)|scheduler\.pt|scaler\.pt|rng_state\w*\.pth|trainer_state\.json"
    r"|(all|eval|train)_results\.json|events\.out\.tfevents\..*|harness\.json"
)
OTHER_FOLDERS = re.compile(r"original|metal|onnx|coreml|openvino|runs|wandb|checkpoint-\d+|global_step\d+|__pycache__")
SPLIT_GGUF = re.compile(r"(.*)-\d{5}-of-(\d{5})\.gguf")
MADE = ".content"  # in a made checkpoint: its digest when it was first used
MARKERS = ("config.json", "adapter_config.json", "tokenizer_config.json")  # of a folder that an argument names
NO_TOKENIZER = re.compile(r"generation_config\.json|adapter_config\.json|.*\.index\.json")


def everything(name: str) -> bool:
    return True


def weights_only(name: str) -> bool:
    """Accept config.json and the weights: two copies of a model whose tokenizer files differ are one model."""
    return name == "config.json" or name.endswith(WEIGHTS)


def tokenizer_only(name: str) -> bool:
    """Accept what decides prompts: the tokenizer's files, templates, code, and config.json, which names its class."""
    return not name.endswith(WEIGHTS) and not NO_TOKENIZER.fullmatch(name.rpartition("/")[2])


def content(folder: Path, digests: Digests, part: Callable[[str], bool] = everything) -> str:
    """Return one digest of the files in `folder` that are read, restricted to `part`. Raise ConfigError."""
    files = {name: path for name, path in read_files(folder) if part(name)}
    return _combined(files, digests)


def data_content(folder: Path, digests: Digests) -> str:
    """Return one digest of all files in a folder of data."""
    paths = (path for path in folder.rglob("*") if _is_regular(path))
    return _combined({path.relative_to(folder).as_posix(): path for path in paths}, digests)


def _combined(files: dict[str, Path], digests: Digests) -> str:
    found = digests.of(files.values())
    lines = (os.fsencode(name) + b"\0" + found[path].encode() + b"\n" for name, path in sorted(files.items()))
    return blake3_of(b"".join(lines))


def gguf_content(file: Path, digests: Digests) -> str:
    """Return the digest of a GGUF file, or of all its parts where it is split (NAME-00001-of-00003.gguf)."""
    parts = [file]
    if split := SPLIT_GGUF.fullmatch(file.name):
        numbers = range(1, int(split[2]) + 1)
        named = [file.with_name(f"{split[1]}-{number:05}-of-{split[2]}.gguf") for number in numbers]
        parts = [part for part in named if part.is_file()]
    found = digests.of(parts)
    return found[file] if len(parts) == 1 else blake3_of("".join(found[part] for part in parts).encode())


def confirm_as_made(folder: Path, digest: str) -> None:
    """Raise HarnessError where a checkpoint that was made here is not as it was when it was first used.

    Its cells are known by what it was made from, so it must not be edited in place.
    """
    noted = folder / MADE
    try:
        before = noted.read_text()
    except OSError:
        with contextlib.suppress(OSError):  # a cache that cannot be written to
            noted.write_text(digest)
        return
    if before != digest:
        raise HarnessError(
            f"checkpoint {folder} has changed since it was made; remove the folder to make it again, or copy it and "
            "name the copy as the variant's checkpoint"
        )


def argument_files(arguments: Iterable[str], digests: Digests) -> dict[str, str]:
    """Return {path: digest} of the files and checkpoint folders that arguments of an engine name.

    Adapters, draft models, chat templates, tokenizers: `--lora-modules NAME=FOLDER`, `--chat-template FILE`,
    `--speculative-config '{"model": FOLDER}'`.
    """
    found = {}
    for text in dict.fromkeys(text for argument in arguments for text in _texts(argument)):
        path = Path(os.path.expanduser(text))  # which leaves a user who does not exist as it is
        try:
            if path.is_file():
                found[text] = digests.of([path])[path]
            elif path.is_dir() and any((path / marker).is_file() for marker in MARKERS):
                found[text] = content(path, digests)
        except (OSError, ValueError):  # no path at all: too long, a null byte
            continue
    return found


def read_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield (name relative to the folder, path) of each file that counts; linked folders are followed once."""
    entered = set()
    for directory, folders, names in os.walk(folder, followlinks=True, onerror=_refuse):
        here = Path(directory)
        entered.add(os.path.realpath(here))
        folders[:] = [
            name
            for name in sorted(folders)
            if not name.startswith(".")
            and not OTHER_FOLDERS.fullmatch(name)
            and os.path.realpath(here / name) not in entered
        ]
        for name in names:
            path = here / name
            if not _ignored(name) and _is_regular(path):
                yield path.relative_to(folder).as_posix(), path


def _ignored(name: str) -> bool:
    return name.startswith(".") or any(pattern.fullmatch(name) for pattern in (DOCUMENTS, OTHER_FRAMEWORKS, TRAINING))


def _is_regular(path: Path) -> bool:
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except FileNotFoundError:  # a link to nowhere: an engine does not read it either
        return False
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror or error}); correct its permissions") from None


def _refuse(error: OSError) -> None:
    raise ConfigError(f"{error.filename} cannot be read ({error.strerror or error}); correct its permissions")


def _texts(argument: str) -> list[str]:
    """Return an argument and what follows its first equals sign, or the texts in it where it is JSON."""
    if argument.lstrip().startswith(("{", "[")):
        return _json_texts(argument)
    _, equals, value = argument.partition("=")
    return [argument, *(_json_texts(value) if value.lstrip().startswith(("{", "[")) else [value] if equals else [])]


def _json_texts(text: str) -> list[str]:
    try:
        pending = [json.loads(text)]
    except (ValueError, RecursionError):
        return []
    found = []
    while pending:
        value = pending.pop()
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, dict | list):
            pending += value.values() if isinstance(value, dict) else value
    return found
