"""A sweep's folder under results/ as a Study."""

from pathlib import Path

from harness.analysis.study import Study, build_study
from harness.errors import ConfigError
from harness.records.manifest_check import manifest_fault
from harness.records.store import Store


def load_study(results: Path) -> Study:
    """Return the study of all that is stored and not damaged; `Study.damaged` names the rest.

    It has the folder's name, whatever its files say: a report, and MLflow's runs, are found by it.

    Raises ConfigError when `results` is not the folder of a sweep, or one that this version cannot read.
    """
    store = Store(results)
    manifest = store.manifest()
    if wrong := manifest_fault(manifest):
        raise ConfigError(f"{results}/sweep.json is damaged ({wrong}); run the sweep again to write it anew")
    manifest |= {"name": Path(results).resolve().name}
    wanted = {cell["key"]: cell.get("fingerprint") for cell in manifest["cells"]}
    records = store.records(wanted.values())
    measured = {record["cell"]["key"] for record in records}
    for record in records:  # the size of what was served is known once it was
        variant = manifest["variants"].get(record["cell"].get("variant"), {})
        served = (record.get("engine") or {}).get("checkpoint") or {}
        if served.get("reference") == variant.get("checkpoint") and record["cell"].get("kind") != "judge":
            variant["checkpoint_bytes"] = served.get("size_bytes")
    failures = [f for f in store.failures() if f["key"] in wanted and f["key"] not in measured]
    spent = store.spent()
    return build_study(manifest, records, store.rows, failures, spent, store.damages)
