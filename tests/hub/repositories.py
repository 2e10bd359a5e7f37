"""Repositories of the test hub: commits of files, as git and its large-file storage name them."""

import hashlib
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

LARGE = (".parquet", ".safetensors", ".gz", ".bin")  # stored by sha256 beside git, served by a redirect to a CDN


@dataclass(frozen=True)
class File:
    data: bytes
    large: bool

    @property
    def git_id(self) -> str:
        return hashlib.sha1(b"blob %d\0" % len(self.data) + self.data).hexdigest()

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    @property
    def etag(self) -> str:
        return self.sha256 if self.large else self.git_id


@dataclass
class Repository:
    kind: str  # model | dataset
    name: str  # org/name
    gated: str | bool = False  # auto | manual
    members: set[str] = field(default_factory=set)  # tokens whose account has access to a gated repository
    commits: dict[str, dict[str, File]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)

    def commit(self, files: dict[str, bytes], *refs: str) -> str:
        """Add a commit of exactly `files`, and point main and `refs` at it; return its sha."""
        content = {path: File(data, path.endswith(LARGE)) for path, data in sorted(files.items())}
        parent = self.refs.get("main", "")
        text = parent + "".join(f"{path} {file.etag}\n" for path, file in content.items())
        sha = hashlib.sha1(text.encode()).hexdigest()
        self.commits[sha] = content
        self.refs.update(dict.fromkeys(("main", *refs), sha))
        return sha

    def resolve(self, revision: str) -> str | None:
        found = self.refs.get(revision, revision)
        return found if found in self.commits else None

    def info(self, sha: str, sizes: bool) -> dict[str, Any]:
        files = self.commits[sha]
        return {
            "_id": hashlib.sha1(self.name.encode()).hexdigest()[:24],
            "id": self.name,
            "author": self.name.rpartition("/")[0],
            "sha": sha,
            "lastModified": "2026-01-02T03:04:05.000Z",
            "createdAt": "2025-01-02T03:04:05.000Z",
            "private": False,
            "gated": self.gated,
            "disabled": False,
            "tags": [],
            "downloads": 1,
            "likes": 1,
            "cardData": {},
            "siblings": [{"rfilename": path} | (_blob(file) if sizes else {}) for path, file in files.items()],
            **({"modelId": self.name} if self.kind == "model" else {}),
        }

    def tree(self, sha: str, folder: str, recursive: bool) -> list[dict[str, Any]] | None:
        """Entries under `folder`, folders before their content; None where there is no such folder."""
        files = self.commits[sha]
        top = PurePosixPath(folder or ".")
        entries: dict[str, dict[str, Any]] = {}
        for path, file in files.items():
            inside = PurePosixPath(path)
            if not inside.is_relative_to(top) or inside == top:
                continue
            below = inside.relative_to(top)
            for parent in list(below.parents)[:-1][::-1]:
                whole = str(top / parent)
                if recursive or len(parent.parts) == 1:
                    entries[whole] = {"type": "directory", "oid": _id(whole), "size": 0, "path": whole}
            if recursive or len(below.parts) == 1:
                entries[path] = entry(path, file)
        return list(entries.values()) or (None if folder else [])

    def paths(self, sha: str, paths: list[str]) -> list[dict[str, Any]]:
        files = self.commits[sha]
        found = []
        for path in paths:
            if path in files:
                found.append(entry(path, files[path]))
            elif any(name.startswith(path.rstrip("/") + "/") for name in files):
                found.append({"type": "directory", "oid": _id(path), "size": 0, "path": path})
        return found


def entry(path: str, file: File) -> dict[str, Any]:
    found = {"type": "file", "oid": file.git_id, "size": len(file.data), "path": path}
    return found | ({"lfs": {"oid": file.sha256, "size": len(file.data), "pointerSize": 130}} if file.large else {})


def _blob(file: File) -> dict[str, Any]:
    found = {"blobId": file.git_id, "size": len(file.data)}
    return found | ({"lfs": {"sha256": file.sha256, "size": len(file.data), "pointerSize": 130}} if file.large else {})


def _id(path: str) -> str:
    return hashlib.sha1(b"tree " + path.encode()).hexdigest()
