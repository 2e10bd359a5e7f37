"""The small files of a checkpoint that an engine reads before its weights: config.json and the tokenizer's."""

import contextlib
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from harness.checkpoints import hub, source
from harness.checkpoints.inspection.files import Files, Folder
from harness.checkpoints.model_config import ModelConfig, TokenizerConfig
from harness.errors import HarnessError
from harness.untrusted import strict_json
from harness.untrusted.strict_json import JsonObject


@dataclass(frozen=True)
class ServedFiles:
    config: ModelConfig
    tokenizer: TokenizerConfig | None = None  # None: there is no tokenizer_config.json
    names: frozenset[str] = field(default_factory=frozenset)


def read(location: str, revision: str | None = None) -> ServedFiles | None:
    """Read the files of a directory or a hub id; None where config.json cannot be read, or no hub answers."""
    path = Path(location).expanduser()
    if path.is_dir():
        return _folder(path)
    if path.is_absolute() or location.endswith(".gguf"):
        return None
    return _hub(location, revision)


def of_source(reference: str) -> ServedFiles | None:
    """Read the files of a checkpoint that is served as it comes; None for one that is made here first."""
    origin = source(reference)
    return read(origin.location(), origin.commit) if origin.import_spec() is None else None


def read_from(files: Files) -> ServedFiles | None:
    try:
        names = files.names()
        config = _json(files, names, "config.json")
        if not config:
            return None
        tokenizer = _json(files, names, "tokenizer_config.json")
        read_tokenizer = None if tokenizer is None else TokenizerConfig.read(tokenizer)
        return ServedFiles(ModelConfig.read(config), read_tokenizer, frozenset(names))
    except HarnessError:
        return None


def _folder(path: Path) -> ServedFiles | None:
    folder = Folder(path)
    try:
        return read_from(folder)
    finally:
        folder.close()


def _hub(repository: str, revision: str | None) -> ServedFiles | None:
    """The hub itself; where it does not answer, its local cache, which may lack the tokenizer."""
    if not hub.offline_reason():
        with contextlib.suppress(HarnessError):  # missing, or gated: told by the checkpoint's own problems
            return _answered(repository, revision)
    snapshot = hub.snapshot(repository, revision)
    return _folder(snapshot) if snapshot else None


@lru_cache(maxsize=256)
def _answered(repository: str, revision: str | None) -> ServedFiles:
    """Raises HarnessError where there is no answer, which is not kept: the next one may come."""
    from harness.checkpoints.inspection.remote import HubFiles

    files = read_from(HubFiles(repository, revision))
    if files is None:
        raise HarnessError(f"checkpoint {repository}: config.json cannot be read")
    return files


def _json(files: Files, names: dict[str, int], name: str) -> JsonObject | None:
    try:
        if name not in names or names[name] > strict_json.MOST_BYTES:
            return None
        return strict_json.parse_object(files.read(name, 0, names[name]), infinity=True)
    except ValueError:
        return None  # the inspection says that it is no JSON
