"""Seconds to identify a checkpoint by its content, then to recognize it: python tests/benchmarks/identity.py

A checkpoint of --gigabytes in four shards is written to a temporary folder (in --folder) and removed at the end.
Each figure is of a process of its own, from before the hasher is imported to the finished identity. With --sparse the
shards are holes: they take no disk, and the figures are those of a file in the page cache.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from table import Row, markdown

SHARDS = 4
SETTLE_S = 2.5  # a file that was just written is not remembered
TILE = 64 << 20
REACH_S = 0.2
TIMED = """
import json, sys, time
from pathlib import Path
from harness.checkpoints import source
from harness.checkpoints.file_digests import FOLDER, Digests
began = time.perf_counter()
found = source(sys.argv[1]).identity(Digests(Path(sys.argv[2]) / FOLDER))
print(json.dumps([time.perf_counter() - began, found["content"]]))
"""
READ = """
import sys, time
from pathlib import Path
began, buffer = time.perf_counter(), bytearray(8 << 20)
for path in sorted(Path(sys.argv[1]).glob("*.safetensors")):
    with path.open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass
print(time.perf_counter() - began)
"""


def checkpoint(folder: Path, size: int, sparse: bool) -> None:
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / "tokenizer.json").write_bytes(b" " * (9 << 20))  # of a vocabulary of 128k
    tile = os.urandom(TILE)
    for number in range(SHARDS):
        with (folder / f"model-{number + 1:05}-of-{SHARDS:05}.safetensors").open("wb") as file:
            if sparse:
                file.truncate(size // SHARDS)
                continue
            for _ in range(size // SHARDS // TILE):
                file.write(tile)
            os.fsync(file.fileno())


def drop_from_page_cache(folder: Path) -> None:
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def python(code: str, *arguments: Path) -> str:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=16.0)
    parser.add_argument("--sparse", action="store_true")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    size = int(given.gigabytes * 1e9)
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        model = Path(name) / "model"
        model.mkdir()
        checkpoint(model, size, given.sparse)
        time.sleep(SETTLE_S)
        first, again, read, digests = [], [], [], set()
        for repeat in range(given.repeats):
            cache = Path(name) / f"cache{repeat}"
            for seconds, code in ((read, READ), (first, TIMED), (again, TIMED)):
                if seconds is not again:
                    drop_from_page_cache(model)
                said = python(code, model, cache)
                if code is READ:
                    seconds.append(float(said))
                else:
                    took, digest = json.loads(said)
                    seconds.append(took)
                    digests.add(digest)
    assert len(digests) == 1, "the same files have one identity"
    rows = [
        Row("first run", "s", "", {"harness": first, "read alone": read}),
        Row("first run", "GB/s", "", {name: [size / 1e9 / s for s in values]
                                      for name, values in (("harness", first), ("read alone", read))}),
        Row("second run", "s", f"{REACH_S} s", {"harness": again}, max(again) <= REACH_S),
    ]  # fmt: skip
    print(f"{given.gigabytes:g} GB in {SHARDS} {'sparse ' if given.sparse else ''}files, {os.cpu_count()} cores\n")
    print(markdown(rows, {"harness": "identity", "read alone": "read alone"}))


if __name__ == "__main__":
    main()
