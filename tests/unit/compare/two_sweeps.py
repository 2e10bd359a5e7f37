"""Stores on disk made of the synthetic study: the same sweep by an older and a newer engine."""

import copy
from pathlib import Path

from harness.records.manifest import Manifest
from harness.records.record import Record
from harness.records.store import Store
from tests.unit.report.synthetic_records import VARIANTS
from tests.unit.report.synthetic_study import parts

FEW = {name: VARIANTS[name] for name in ("bf16", "fp8")}
ONE = {"chat_512_256": (512, 256)}


def store(root: Path, version: str = "0.32.0", itl: float = 1.0, change=None, **options) -> Path:
    """A sweep's folder. `itl`: factor on the ITLs; `change(manifest, records, rows)` edits or gives other records."""
    manifest, records, rows = parts(**{"variants": FEW, "scenarios": ONE} | options)
    manifest["name"] = root.name
    records = copy.deepcopy(records)
    for record in records:
        record["engine"]["version"] = version
        record["inputs"]["engine"] = {"version": version}
        record["started_at"] = f"2026-11-20T10:00:00Z ({root.name})"
        for name in record["result"]:
            if name.startswith("itl_ms"):
                record["result"][name] *= itl
    if change:
        changed = change(manifest, records, rows)
        records = records if changed is None else changed
    written = Store(root)
    written.write_manifest(Manifest.from_json(manifest))
    for record in records:
        written.write(Record.from_json(record), rows[record["cell"]["key"]])
    return root
