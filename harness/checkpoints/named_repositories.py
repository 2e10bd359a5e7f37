"""Repositories of the hub that an engine reads beside the checkpoint, each known by its commit.

Its arguments name tokenizers, adapters and draft models (`Engine.model_flags`); config.json and tokenizer_config.json
name code of another repository (`auto_map: {"AutoModel": "org/name--module.Class"}`).
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.checkpoints import served_files, source
from harness.checkpoints.model_config import TokenizerConfig
from harness.checkpoints.sources import HUB_ID, Hub
from harness.hub.commits import COMMIT, MODEL, Resolved, resolve

LOCATIONS = ("model", "path", "tokenizer")  # keys of arguments that are JSON


@dataclass(frozen=True)
class Named:
    """`org/name[@revision]` in the place of a local folder."""

    repository: str
    revision: str | None = None

    def __str__(self) -> str:
        return self.repository + (f"@{self.revision}" if self.revision else "")

    @property
    def resolved(self) -> Resolved:
        return resolve(MODEL, self.repository, self.revision)

    @property
    def pinned(self) -> bool:
        """Whether the arguments themselves name the commit."""
        return bool(self.revision and COMMIT.fullmatch(self.revision))


def in_arguments(arguments: Iterable[str], model_flags: Mapping[str, str | None]) -> list[Named]:
    """Return the repositories that arguments of an engine name, without those of local files and folders.

    `model_flags`: {argument that may name one: argument with its revision, or None}.
    """
    values: dict[str, list[str]] = {}
    for flag, value in _assignments(arguments):
        values.setdefault(flag, []).append(value)
    found = []
    for flag, revision_flag in model_flags.items():
        revision = next(iter(values.get(revision_flag or "", [])), None)
        for value in values.get(flag, []):
            found += [Named(name, own or revision) for name, own in _locations(value)]
    return [one for one in dict.fromkeys(found) if _on_hub(one.repository)]


def argument_commits(arguments: Iterable[str], model_flags: Mapping[str, str | None]) -> dict[str, str]:
    """Return {repository as named: commit}, without those that the arguments pin themselves."""
    named = [one for one in in_arguments(arguments, model_flags) if not one.pinned]
    return {str(one): commit for one in named if (commit := one.resolved.commit)}


def repository_problems(arguments: Iterable[str], model_flags: Mapping[str, str | None]) -> list[str]:
    """Return why repositories that the arguments name cannot be had."""
    return [problem for one in in_arguments(arguments, model_flags) if (problem := one.resolved.problem)]


def code_commits(reference: str) -> dict[str, str]:
    """Return {repository: commit} of the code that a checkpoint takes from elsewhere; empty for nearly all."""
    return {str(one): commit for one in _code(reference) if (commit := one.resolved.commit)}


def unresolved_code(reference: str) -> dict[str, str]:
    """Return {repository: why its commit is not known} of the code that `code_commits` has to leave out."""
    return {str(one): one.resolved.problem or "" for one in _code(reference) if not one.resolved.commit}


def code_problems(reference: str, arguments: Iterable[str], flag: str | None) -> list[str]:
    """Return why code that an engine runs cannot be had. `flag`: the argument that lets it run code of a checkpoint."""
    if not runs_code(arguments, flag):
        return []
    return [
        f"checkpoint {reference}: its auto_map names code of {repository}: {problem}"
        for repository, problem in unresolved_code(reference).items()
    ]


def code_words(reference: str, arguments: Iterable[str], flag: str | None) -> str | None:
    """One line for the plan and the log of a run whose fingerprints lack the commit of code that is not run."""
    lacking = {} if runs_code(arguments, flag) else unresolved_code(reference)
    if not lacking:
        return None
    said = "; ".join(f"{repository} ({problem})" for repository, problem in lacking.items())
    return f"the fingerprint has no commit of the code that auto_map names, which this engine does not run: {said}"


def runs_code(arguments: Iterable[str], flag: str | None) -> bool:
    return any(str(argument).partition("=")[0].replace("_", "-") == flag for argument in arguments)


def _code(reference: str) -> list[Named]:
    origin = source(reference)
    if isinstance(origin, Hub) and not (origin.commit and COMMIT.fullmatch(origin.commit)):
        return []  # it cannot be had, which is a separate problem
    files = served_files.of_source(reference)
    configs = (files.config, files.tokenizer or TokenizerConfig()) if files else ()
    names = sorted({name for config in configs for name in config.code})
    repositories = [name.partition("--")[0] for name in names if "--" in name]
    return [Named(repository) for repository in dict.fromkeys(repositories) if _on_hub(repository)]


def _assignments(arguments: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield (argument, value): of `--a b`, `--a=b`, each of `--a b c`, and `--a.model b` as a value of --a."""
    flag = ""
    for argument in arguments:
        if argument.startswith("-"):
            flag, equals, value = argument.partition("=")
            flag = flag.partition(".")[0].replace("_", "-")
            if equals:
                yield flag, value
        elif flag:
            yield flag, argument


def _locations(value: str) -> list[tuple[str, str | None]]:
    """Return (name, revision) of the models in a value: a name, LABEL=NAME, or JSON with keys of LOCATIONS."""
    if value.lstrip().startswith("{"):
        try:
            found = json.loads(value)
        except (ValueError, RecursionError):
            return []
        revision = found.get("revision")
        names = [found[key] for key in LOCATIONS if isinstance(found.get(key), str)]
        return [(name, revision if isinstance(revision, str) else None) for name in names]
    name, _, revision = value.rpartition("=")[2].partition("@")
    return [(name.partition(":")[0], revision or None)]  # llama.cpp's org/name:Q4_K_M


def _on_hub(name: str) -> bool:
    return bool(HUB_ID.fullmatch(name)) and isinstance(source(name), Hub) and not Path(name).exists()
