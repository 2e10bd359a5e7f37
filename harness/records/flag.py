"""A flag: what the reader must know about a number."""

from dataclasses import dataclass

from harness.records.fields import Stored


@dataclass(frozen=True)
class Flag(Stored):
    """Something the reader must know about a number. `invalid`: do not compare it; `caution`: read it with care."""

    code: str  # client_lag, errors, saturated, token_mismatch, emulated_kernel, simulated, truncated, unparsed, ...
    level: str  # invalid | caution | note
    message: str = ""

    @property
    def invalid(self) -> bool:
        return self.level == "invalid"
