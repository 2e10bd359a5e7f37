"""Where a suite's items come from: the hub (default), a local mirror (`data.root=DIR`) or the pocket suites.

A mirror and the pocket suites have the same layout, so that one loader reads both:

    mmlu/{dev,test}/SUBJECT_{dev,test}.csv      question,choice0..choice3,answer (0-3)
    gsm8k/{train,test}.jsonl                    question, answer ending "#### N"
    arc_challenge/{train,test}.jsonl            these four: a row a line with the hub's columns
    hellaswag/{train,validation}.jsonl
    winogrande/{train,validation}.jsonl
    truthfulqa_mc2/validation.jsonl
    humaneval/HumanEvalPlus.jsonl[.gz]          evalplus's format
    alpaca_eval/*.json                          instruction, output, generator (one file a reference)
    wikitext/*.txt                              WikiText-2's test part as it is (pocket: scenarios/corpus/prose.txt)
"""

import contextlib
import functools
import hashlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.hub.commits import DATASET, commit_of, resolve
from harness.paths import scenarios_dir
from harness.records.accuracy_result import DataRef

PACKAGED = ("json", "csv", "parquet", "text", "arrow", "pandas", "xml")  # builders of `datasets` for local files


@dataclass(frozen=True)
class Source:
    """`directory` is None for the hub."""

    kind: str  # hub | mirror | pocket
    name: str  # shown in the report
    directory: Path | None
    repositories: tuple[str, ...] = ()  # of datasets on the hub; none for a file of a fixed release

    def digest(self) -> str:
        """sha256 over the names and bytes of the suite's files; on the hub the commit, of several their sha256.

        The name where a commit is not known: `problems` of the suite says why, and nothing is measured.
        """
        if self.directory is not None:
            return _folder_digest(self.directory)
        pairs = [(repository, state) for repository in self.repositories if (state := _state(repository)) is not None]
        if not pairs or len(pairs) < len(self.repositories):
            return self.name
        if len(pairs) == 1:
            return pairs[0][1]
        pairs.sort()
        return hashlib.sha256(repr(pairs).encode()).hexdigest()

    def reference(self, population: int) -> DataRef:
        """`population`: items of the whole suite."""
        return DataRef(self.kind, self.name, self.digest(), population)

    def problems(self, wanted: str) -> list[str]:
        """`wanted` is a glob that must match in the directory."""
        if self.directory is None or any(self.directory.glob(wanted)):
            return []
        return [f"data: {self.directory} has no {wanted}; set data.root to a mirror that has it, or to pocket"]


def source(data_root: str | None, folder: str, hub_name: str) -> Source:
    """The source of one suite; `folder` is its name in a mirror, `hub_name` the dataset's on the hub."""
    if data_root is None:
        return Source("hub", hub_name, None, (hub_name,) if "/" in hub_name else ())
    if data_root == "pocket":
        return Source("pocket", f"pocket {folder}", scenarios_dir() / "pocket" / folder)
    root = Path(data_root).expanduser().resolve()
    return Source("mirror", f"mirror {root.name}/{folder}", root / folder)


def unreachable_hub(repository: str, revision: str | None = None) -> str | None:
    """Say why a data set of the hub cannot be had here; None where its commit is known, and for a local directory."""
    return None if Path(repository).is_dir() else resolve(DATASET, repository, revision).problem


@contextlib.contextmanager
def pinned() -> Iterator[None]:
    """While it lasts, `datasets.load_dataset` reads each data set at the commit that the plan resolved.

    For lm-eval, whose tasks load their data themselves and pass on no revision.
    """
    import datasets

    load = datasets.load_dataset

    def load_pinned(path: str, *args: Any, revision: str | None = None, **more: Any) -> Any:
        commit = None if Path(path).exists() or path in PACKAGED else commit_of(DATASET, path, revision)
        return load(path, *args, revision=commit or revision, **more)

    datasets.load_dataset = load_pinned
    try:
        yield
    finally:
        datasets.load_dataset = load


def _state(repository: str) -> str | None:
    """The commit, or the content of a local directory of that name, which `datasets` prefers."""
    folder = Path(repository)
    return _folder_digest(folder) if folder.is_dir() else commit_of(DATASET, repository)


def _folder_digest(folder: Path) -> str:
    total = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        total.update(str(path.relative_to(folder)).encode() + b"\0")
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


@functools.cache
def reachable(host: str, port: int = 443) -> bool:
    """Does it take a connection within five seconds? Asked once."""
    try:
        socket.create_connection((host, port), timeout=5).close()
    except OSError:
        return False
    return True
