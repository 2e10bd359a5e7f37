"""A sweep's folder under results/ as a Study."""

from pathlib import Path

from harness.analysis.study import Study, build_study
from harness.store import Store


def load_study(results: Path) -> Study:
    """Raises ConfigError when `results` is not the folder of a sweep."""
    store = Store(results)
    manifest = store.manifest()
    wanted = {cell["key"]: cell["fingerprint"] for cell in manifest["cells"]}
    records = [store.record(fingerprint) for fingerprint in wanted.values() if fingerprint in store]
    measured = {record["cell"]["key"] for record in records}
    for record in records:  # the size of what was served is known once it was
        variant = manifest["variants"].get(record["cell"]["variant"], {})
        served = record["engine"].get("checkpoint", {})
        if served.get("reference") == variant.get("checkpoint") and record["cell"]["kind"] != "judge":
            variant["checkpoint_bytes"] = served.get("size_bytes")
    failures = [f for f in store.failures() if f["key"] in wanted and f["key"] not in measured]
    return build_study(manifest, records, store.rows, failures, store.spent())
