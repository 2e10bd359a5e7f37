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
    wikitext/*.txt                              WikiText-2's test part as it stands (pocket: scenarios/corpus/prose.txt)
"""

import functools
import hashlib
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from harness.paths import scenarios_dir


@dataclass(frozen=True)
class Source:
    """`directory` is None for the hub."""

    kind: str  # hub | mirror | pocket
    name: str  # shown in the report
    directory: Path | None

    def digest(self) -> str:
        """sha256 over the names and bytes of the suite's files; the hub's data is named by its repository instead."""
        if self.directory is None:
            return self.name
        total = hashlib.sha256()
        for path in sorted(p for p in self.directory.rglob("*") if p.is_file()):
            total.update(str(path.relative_to(self.directory)).encode() + b"\0")
            total.update(hashlib.sha256(path.read_bytes()).digest())
        return total.hexdigest()

    def problems(self, wanted: str) -> list[str]:
        """`wanted` is a glob that must match in the directory."""
        if self.directory is None or any(self.directory.glob(wanted)):
            return []
        return [f"data: {self.directory} has no {wanted}; set data.root to a mirror that has it, or to pocket"]


def source(data_root: str | None, folder: str, hub_name: str) -> Source:
    """The source of one suite; `folder` is its name in a mirror, `hub_name` the dataset's on the hub."""
    if data_root is None:
        return Source("hub", hub_name, None)
    if data_root == "pocket":
        return Source("pocket", f"pocket {folder}", scenarios_dir() / "pocket" / folder)
    root = Path(data_root).expanduser().resolve()
    return Source("mirror", f"mirror {root.name}/{folder}", root / folder)


def unreachable_hub(repository: str) -> str | None:
    """Why a data set of the hub cannot be had here; None where it can, or where it lies in the hub's cache."""
    cached = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser()
    built = Path(os.environ.get("HF_DATASETS_CACHE", cached / "datasets")) / repository.replace("/", "___").lower()
    fetched = Path(os.environ.get("HF_HUB_CACHE", cached / "hub")) / f"datasets--{repository.replace('/', '--')}"
    if Path(repository).is_dir() or built.is_dir() or (fetched / "snapshots").is_dir():
        return None
    endpoint = urlsplit(os.environ.get("HF_ENDPOINT") or "https://huggingface.co")
    if reachable(endpoint.hostname, endpoint.port or (80 if endpoint.scheme == "http" else 443)):
        return None
    return f"{repository} is not in the hub's cache, and {endpoint.hostname} cannot be reached"


@functools.cache
def reachable(host: str, port: int = 443) -> bool:
    """Does it take a connection within five seconds? Asked once."""
    try:
        socket.create_connection((host, port), timeout=5).close()
    except OSError:
        return False
    return True
