"""A cell: the unit of work and of storage."""

from dataclasses import dataclass, field
from typing import TypeVar

from harness.records.fields import Json, Stored
from harness.records.point import LoadPoint

T = TypeVar("T")


@dataclass(frozen=True)
class Cell(Stored):
    """What is measured once: a variant with a suite, with a scenario at a load point, or with a layer's product."""

    key: str
    kind: str = ""  # accuracy | load | judge | gemm
    variant: str = ""
    fingerprint: str = ""  # of everything that can change its result, and nothing else; empty in the oldest manifests
    suite: str | None = None
    scenario: str | None = None
    point: LoadPoint | None = None
    layer: str | None = None
    repeat: int = 0

    @property
    def answered_by_variant(self) -> bool:
        """Whether the variant's own server answered; in a judge cell the judge's did."""
        return self.kind != "judge"

    @property
    def suite_name(self) -> str:
        """The suite of an accuracy or judge cell. Raises ValueError for another cell."""
        return self._given("suite", self.suite)

    @property
    def scenario_name(self) -> str:
        """The scenario of a load cell. Raises ValueError for another cell."""
        return self._given("scenario", self.scenario)

    @property
    def load_point(self) -> LoadPoint:
        """The point of a load cell. Raises ValueError for another cell."""
        return self._given("load point", self.point)

    def _given(self, what: str, value: T | None) -> T:
        if value is None:
            raise ValueError(f"cell {self.key} has no {what}")
        return value

    @property
    def subject(self) -> str:
        """What is measured of the variant: a suite, a scenario or a layer."""
        return self.suite or self.scenario or self.layer or self.kind

    @property
    def title(self) -> str:
        """For people: ``int4 · chat_512_256 · server 4/s · repeat 2``."""
        parts = [self.variant, self.subject]
        if not self.answered_by_variant:
            parts.append("judged")
        if self.point:
            parts.append(self.point.text(" {:g}/s", " of {}"))
        if self.repeat:
            parts.append(f"repeat {self.repeat + 1}")
        return " · ".join(parts)

    def to_json(self) -> Json:
        """Return the cell as a record and a manifest hold it."""
        return {
            **{"key": self.key, "kind": self.kind, "variant": self.variant, "fingerprint": self.fingerprint},
            **({"suite": self.suite} if self.suite else {}),
            **({"scenario": self.scenario, "point": self.point.to_json()} if self.point else {}),
            **({"layer": self.layer} if self.layer else {}),
            "repeat": self.repeat,
        }


@dataclass(frozen=True)
class PlannedCell(Cell):
    """A cell of a plan, with what its fingerprint is the hash of."""

    inputs: Json = field(default_factory=dict, repr=False)
