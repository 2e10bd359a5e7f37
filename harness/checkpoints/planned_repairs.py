"""Values for --hf-overrides: decided when a sweep is planned, and confirmed before its engine starts.

They are part of the fingerprint. A hub that did not answer while the plan was made must not lead to results under the
fingerprint of another engine configuration.
"""

from collections.abc import Iterable

from harness.checkpoints import served_files, source
from harness.checkpoints.compatibility import config_overrides
from harness.checkpoints.recipe_fields import RecipeFields
from harness.engines.releases import Release
from harness.errors import HarnessError
from harness.untrusted.strict_json import JsonObject


def planned_overrides(reference: str, recipe: RecipeFields | None, release: Release | None) -> JsonObject:
    """Return what the engine must be told of a checkpoint from elsewhere; one that is made here needs nothing."""
    if not _may_need_any(reference, recipe, release):
        return {}  # without reading a file
    return config_overrides(served_files.of_source(reference), release)


def confirm(
    planned: Iterable[JsonObject], reference: str, recipe: RecipeFields | None, release: Release | None
) -> None:
    """Raise HarnessError where config.json needs other values than those that were planned, or cannot be read."""
    if release is None or not _may_need_any(reference, recipe, release) or source(reference).import_spec() is not None:
        return
    files = served_files.of_source(reference)
    if files is None:
        raise HarnessError(
            f"checkpoint {reference}: its config.json cannot be read, and {release.label} misreads some of those that "
            "transformers 5 writes; check the connection and run the command again, or name a local directory"
        )
    needed = config_overrides(files, release)
    if any(values != needed for values in planned):
        raise HarnessError(
            f"checkpoint {reference}: its config.json could not be read when the sweep was planned, or has changed "
            "since; run the command again"
        )


def _may_need_any(reference: str, recipe: RecipeFields | None, release: Release | None) -> bool:
    return bool(reference) and recipe is None and release is not None and release.transformers < 5
