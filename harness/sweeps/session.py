"""A session: one engine start and the cells that it measures. An engine is expensive and lives across many cells."""

from dataclasses import dataclass, field, replace
from typing import Any

from harness.checkpoints.recipe_fields import RecipeFields
from harness.engines import Deployment
from harness.records.cell import PlannedCell
from harness.records.fields import Facts

VARIANT, JUDGE = "variant", "judge"  # Session.kind, or GEMM


@dataclass(frozen=True)
class Session:
    """One engine start. `prepare` resolves what it serves; `build_plan` adds its cells."""

    kind: str  # VARIANT | JUDGE | GEMM
    name: str  # of its log, and in messages
    checkpoint: str  # as it is referred to; empty for a judge at an endpoint
    served: Deployment | None  # by the sweep's engine, with the checkpoint as it is referred to; None: by none of it
    inputs: dict[str, Any] = field(repr=False)  # what of the engine, host and checkpoint decides each cell's result
    variant: str | None = None
    recipe: RecipeFields | None = None
    without_recipe: str | None = None  # why the variant's recipe is not applied to the checkpoint; None: it is
    weights: Facts | None = None  # identity of what is served; None where that is not known
    scenarios: tuple[str, ...] = ()
    suites: tuple[str, ...] = ()
    cells: tuple[PlannedCell, ...] = ()

    @property
    def label(self) -> str:
        """Its subject in messages."""
        return self.variant or self.kind

    @property
    def variant_name(self) -> str:
        """The variant whose cells it measures. Raises ValueError for a session of none."""
        if self.variant is None:
            raise ValueError(f"session {self.name} is of no variant")
        return self.variant

    @property
    def args(self) -> tuple[str, ...]:
        """Arguments of its server beyond the engine's own."""
        return self.served.args if self.served else ()

    @property
    def config_overrides(self) -> dict[str, Any]:
        """What the engine uses in place of values in the checkpoint's config.json."""
        return self.served.config_overrides if self.served else {}

    def deployment(self, location: str, revision: str | None = None) -> Deployment:
        """Return what the engine is asked to serve, once the checkpoint is at `location`."""
        assert self.served is not None, "this session has no server of the sweep's engine"
        return replace(self.served, model=location, revision=revision)
