"""The variants of conf/variant, typed: what a sweep's variant is before the sweep changes it."""

from dataclasses import replace
from functools import lru_cache

import yaml
from omegaconf import OmegaConf

from harness.config.variants import Recipe, Variant
from harness.errors import HarnessError
from harness.paths import conf_files


def variants() -> dict[str, Variant]:
    """Every variant of the catalogue by name. Raises HarnessError for a file that does not fit the schema."""
    found: dict[str, Variant] = {}
    schema = OmegaConf.structured(Variant)
    for name, path in conf_files("variant").items():
        try:
            values = OmegaConf.create(yaml.safe_load(path.read_text()) or {})
            variant = OmegaConf.to_object(OmegaConf.merge(schema, values))
            assert isinstance(variant, Variant)
            found[name] = variant
        except Exception as error:
            raise HarnessError(f"conf/variant/{path.name}: {error}") from None
    return found


def has_default_recipe(name: str, variant: Variant) -> bool:
    """Whether the recipe is the catalogue's, so that no user wrote it; its group size follows the scheme."""
    known = _read_once().get(variant.deployment_of or name)
    return known is not None and _ungrouped(known.recipe) == _ungrouped(variant.recipe)


def _ungrouped(recipe: Recipe | None) -> Recipe | None:
    if recipe is None or recipe.quantization is None:
        return recipe
    return replace(recipe, quantization=replace(recipe.quantization, group_size=None))


@lru_cache(maxsize=1)
def _read_once() -> dict[str, Variant]:
    return variants()
