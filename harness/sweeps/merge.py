"""Merge the stores of one sweep from machines that share nothing.

    harness merge node1/results/study node2/results/study -o results/study
    harness report results/study

On each machine run a part of the sweep: 'scenario=[chat_512_256]' suite=[] on one, scenario=[] 'suite=[mmlu,gsm8k]'
on the other. Split by scenario and suite rather than by variant: each ratio to the baseline is then of one machine.
Cells are matched by fingerprint and copied as they are. What two stores measured differently is a conflict: each is
named and nothing is written, unless --prefer says which store counts. Speeds of different GPU models are not merged
unless you ask for it: their ratios compare GPUs, not variants.

Exit codes: 0 merged; 1 conflicts; 2 not the stores of one study, or a mistake in the command.
"""

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from harness.console.arguments import command_parser
from harness.console.output import masked_main
from harness.errors import ConfigError, HarnessError
from harness.records.cell_files import RECORD, copy_into
from harness.records.merging import Copy, chosen, hardware, merged
from harness.records.store import Store
from harness.records.stored_json import file_digest

TIMED = ("load", "gemm")  # kinds of cells


def main() -> int:
    parser = command_parser("merge", __doc__)
    parser.add_argument("stores", nargs="+", type=Path, metavar="RESULTS_DIR", help="a store, like results/study")
    parser.add_argument("-o", "--output", required=True, type=Path, metavar="DIR", help="the new store")
    parser.add_argument("--prefer", type=Path, metavar="RESULTS_DIR", help="the store that counts where they differ")
    parser.add_argument("--across-gpus", action="store_true", help="merge speeds of different GPU models")
    arguments = parser.parse_args()
    try:
        return merge(arguments.stores, arguments.output, arguments.prefer, arguments.across_gpus)
    except HarnessError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def merge(folders: Sequence[Path], output: Path, prefer: Path | None = None, across_gpus: bool = False) -> int:
    """Write the merged store and return the exit code. Raises ConfigError."""
    if len(set(folders)) < 2:
        raise ConfigError("merge needs two stores or more, each named once")
    if prefer is not None and prefer not in folders:
        raise ConfigError(f"--prefer {prefer}: not among the stores that are merged")
    if output.exists() and any(output.iterdir()):
        raise ConfigError(f"{output} is not empty; name a new folder with -o")
    stores = {str(folder): _whole(folder) for folder in folders}
    kept, conflicts = chosen(_copies(stores), str(prefer) if prefer else None)
    for conflict in conflicts:
        print(f"conflict: {conflict}", file=sys.stderr)
    if conflicts:
        print(f"{len(conflicts)} conflicts; nothing was written. Choose with --prefer RESULTS_DIR", file=sys.stderr)
        return 1
    if not across_gpus:
        _check_hardware(kept)
    fingerprints = {copy.record.fingerprint for copy in kept}
    manifests = {name: store.manifest() for name, store in stores.items()}
    manifest = merged(manifests, lambda cell: cell.fingerprint in fingerprints)
    target = Store(output)
    with target.locked():
        for copy in kept:
            copy_into(target.cells, stores[copy.store].folder(copy.record.fingerprint))
        have = {copy.record.cell.key for copy in kept}
        for store in stores.values():
            for failure in store.failures():
                if failure.key not in have:
                    target.write_failure(failure.key, failure.error, failure.log)
            for taken in store.spent():
                target.note_spent(taken)
        target.write_manifest(manifest)
    print(f"{output}: {len(kept)} of {len(manifest.cells)} cells, from {len(stores)} stores")
    return 0


def _whole(folder: Path) -> Store:
    store = Store(folder)
    if not store.cells.is_dir():
        raise ConfigError(f"{folder} is not the folder of a sweep; name one, like results/study")
    store.check()
    if store.damages:
        raise ConfigError(f"{folder}/{store.damages[0]}; set it aside with: harness check --repair {folder}")
    return store


def _copies(stores: dict[str, Store]) -> list[Copy]:
    """What each store holds of its plan."""
    return [
        Copy(name, store.record(cell.fingerprint), file_digest(store.folder(cell.fingerprint) / RECORD))
        for name, store in stores.items()
        for cell in store.manifest().cells
        if cell.fingerprint in store
    ]


def _check_hardware(kept: Iterable[Copy]) -> None:
    """Raise ConfigError where speeds were measured on GPUs of different models."""
    found: dict[tuple[str, ...], Copy] = {}
    for copy in kept:
        if copy.record.cell.kind in TIMED and (models := hardware(copy.record.inputs, copy.record.engine)):
            found.setdefault(models, copy)
    if len(found) > 1:
        told = ", ".join(
            f"{' + '.join(models)} ({copy.record.cell.key} in {copy.store})" for models, copy in found.items()
        )
        raise ConfigError(
            f"speeds were measured on different hardware: {told}; to compare them all the same: --across-gpus"
        )


if __name__ == "__main__":
    sys.exit(masked_main(main))
