"""A sweep's folder under results/ as a Study."""

from dataclasses import replace
from pathlib import Path

from harness.analysis.study import Study, build_study
from harness.records.engine_facts import ServedCheckpoint
from harness.records.store import Store


def load_study(results: Path) -> Study:
    """Return the study of all that is stored and not damaged; `Study.damaged` names the rest.

    It has the folder's name, whatever its files say: a report, and MLflow's runs, are found by it.

    Raises ConfigError when `results` is not the folder of a sweep, or one that this version cannot read.
    """
    store = Store(results)
    manifest = replace(store.manifest(), name=Path(results).resolve().name)
    wanted = {cell.key: cell.fingerprint for cell in manifest.cells}
    records = store.records(wanted.values())
    measured = {record.cell.key for record in records}
    variants = dict(manifest.variants)
    for record in records:  # the size of what was served is known once it was
        variant, served = variants.get(record.cell.variant), record.engine.checkpoint or ServedCheckpoint()
        if variant and served.reference == variant.checkpoint and record.cell.answered_by_variant:
            variants[variant.name] = replace(variant, checkpoint_bytes=served.size_bytes)
    manifest = replace(manifest, variants=variants)
    failures = [f for f in store.failures() if f.key in wanted and f.key not in measured]
    spent = store.spent()
    study = build_study(
        manifest, records, lambda record: store.rows(record.fingerprint), failures, spent, store.damages
    )
    return replace(study, phases=tuple(store.phases()))
