"""Phrases that the project does not write: in the code, the configuration and the documentation."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BANNED = re.compile(
    r"\bstands?\b(?![- ]in)|\bstood\b|\bof (?:its|their|his) own(?= *(?:$|[.,;:)\"]))|\bsay(?:s)? nothing\b"
    r"|\blies? (?:above|below|at or)\b|\bmended\b|^\s*(?:r)?\"\"\"Of "
)
HASHED = (  # their bytes are part of fingerprints: a word changed there measures cells again
    *("harness/checkpoints/workers/", "harness/engines/gemm_worker/", "harness/engines/plugins/"),
    *("harness/accuracy/humaneval/humaneval_checks.py", "harness/accuracy/humaneval/humaneval_worker.py"),
)
SUFFIXES = {".py", ".yaml", ".md", ".html", ".css", ".js", ".json"}
FILES = [
    path
    for folder in ("harness", "conf", "docs")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.suffix in SUFFIXES and not str(path.relative_to(ROOT)).startswith(HASHED)
]


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(ROOT)) for path in FILES])
def test_a_file_has_no_banned_phrase(path: Path) -> None:
    found = [
        f"line {number}: {line.strip()}"
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if BANNED.search(line) and "source:" not in line  # a citation is quoted as it is
    ]
    assert not found, "\n".join(found)
