"""A measured store, small enough for the repository.

    python -m docs.generators.slim results/NAME docs/examples/NAME.tar.xz

Left out: the logs, and of the perplexity suite's likeliest tokens all but the first TOP, so that the divergence that
the report shows is a smaller lower bound and says so (*covered*); perplexities, top-1 agreement, and every other number
are those of the whole store. Paths of the machine that measured become relative.
"""

import base64
import json
import re
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np

from harness.records.fields import Json
from harness.records.manifest import Manifest
from harness.records.record import Record
from harness.records.store import Store

TOP = 1
LOCAL = re.compile(r"(?<![\w.:/])/[^\s\"',]*?/(?=\.cache/harness/|results/|reports/|scenarios/)")


def main() -> int:
    store, out = Store(Path(sys.argv[1])), Path(sys.argv[2])
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        name = out.name.partition(".")[0]
        slim(store, Path(folder) / name)
        with tarfile.open(out, "w:xz") as archive:
            archive.add(Path(folder) / name, name, filter=_anonymous)
    print(f"{out}: {out.stat().st_size:,} bytes")
    return 0


def slim(store: Store, root: Path) -> None:
    """Write the store's cells and manifest to `root`, with less in them."""
    small, manifest = Store(root), store.manifest()
    for fingerprint in (cell.fingerprint for cell in manifest.cells if cell.fingerprint in store):
        record = Record.from_json(without_paths(store.record(fingerprint).to_json()))
        small.write(record, [fewer_tokens(row) for row in store.rows(fingerprint)])
    small.write_manifest(Manifest.from_json(without_paths(manifest.to_json())))


def fewer_tokens(row: Json, top: int = TOP) -> Json:
    """A scored window with the `top` likeliest tokens of each position; any other row as it is."""
    if "top_ids" not in row:
        return row
    shorter = {}
    for name, kind in (("top_ids", "<u4"), ("top_logprobs", "<f4")):
        values = np.frombuffer(base64.b64decode(row[name]), kind).reshape(-1, row["top_k"])
        shorter[name] = base64.b64encode(np.ascontiguousarray(values[:, :top]).tobytes()).decode()
    return row | shorter | {"top_k": top}


def without_paths(stored: Json) -> Json:
    """The same object with paths from the working folder and from the home folder."""
    return json.loads(LOCAL.sub("", json.dumps(stored)))


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    member.mtime = member.uid = member.gid = 0
    member.uname = member.gname = ""
    return None if member.name.endswith(".lock") else member


if __name__ == "__main__":
    sys.exit(main())
