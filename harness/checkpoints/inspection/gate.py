"""The gate before an engine: a checkpoint that is not what it claims to be is not served."""

import logging
from collections.abc import Sequence
from pathlib import Path

from harness.checkpoints import compatibility, gguf, served_files
from harness.checkpoints.inspection import Inspection, inspect_checkpoint
from harness.checkpoints.inspection.problems import Fault, grouped
from harness.checkpoints.inspection.variant import against
from harness.config.variants import Variant
from harness.engines.releases import Release
from harness.errors import HarnessError

log = logging.getLogger(__name__)


def errors_of(inspection: Inspection, name: str, variant: Variant | None) -> list[Fault]:
    """`variant` None: a judge's checkpoint, which need only agree with itself."""
    found = list(inspection.problems)
    if variant is not None:
        found += against(inspection, name, variant)
    return [fault for fault in grouped(found) if fault.level == "error"]


def refusals(location: str, name: str, variant: Variant | None) -> list[str]:
    """For preflight: one line an error, of a checkpoint that lies here."""
    if location.endswith(gguf.SUFFIX):
        return gguf.refusals(Path(location), name, variant)
    try:
        faults = errors_of(inspect_checkpoint(location), name, variant)
    except HarnessError as error:
        return [str(error)]
    return [f"variant {name}: checkpoint {location}: {fault}" for fault in faults]


def unreadable(
    location: str, revision: str | None, name: str, release: Release | None, args: Sequence[str]
) -> list[str]:
    """One line for each thing in the checkpoint that this version of the engine cannot read."""
    if release is None or location.endswith(gguf.SUFFIX):
        return []
    found = compatibility.problems(served_files.read(location, revision), release, args)
    faults = [fault for fault in grouped(found) if fault.level == "error"]
    return [f"variant {name}: checkpoint {location}: {fault}" for fault in faults]


def admitted(location: str, revision: str | None, name: str, variant: Variant | None) -> Inspection | None:
    """The inspection of a checkpoint that may be served. Raises HarnessError with what it holds instead.

    None for one on a hub that cannot be read just now: the engine's own download will say more; and for a GGUF file, of
    which only the types of its tensors are looked at.
    """
    if location.endswith(gguf.SUFFIX):
        if wrong := gguf.refusals(Path(location), name, variant):
            raise HarnessError(wrong[0])
        return None
    try:
        inspection = inspect_checkpoint(location, revision)
    except HarnessError as error:
        if Path(location).is_dir():
            raise
        log.warning("%s: not inspected: %s", location, error)
        return None
    for fault in inspection.unchecked:
        log.info("%s: not checked: %s", location, fault)
    if faults := errors_of(inspection, name, variant):
        said = "\n  ".join(map(str, faults))
        raise HarnessError(f"variant {name}: checkpoint {location} is not what it claims to be: {said}")
    return inspection
