"""A load point: how a scenario is sent."""

from dataclasses import dataclass, replace
from typing import Self

from harness.records.fields import Stored

Load = tuple[str, float | None, int | None]  # profile, offered rate, conversations in flight


@dataclass(frozen=True)
class LoadPoint(Stored):
    """How one load cell sends its scenario: everything but the scenario that defines its traffic.

    A field added here is planned, stored, read back, named and grouped by, if it is declared with `later`.
    """

    profile: str  # a key of harness.loadgen.PROFILES
    rate_rps: float | None = None  # offered request rate, the mean where it varies; None where the profile has none
    requests: int = 0  # conversations, where the scenario has several turns
    repeat: int = 0
    concurrency: int | None = None  # closed loop: conversations in flight; None: open loop
    arrivals: str = "poisson"  # a key of arrivals.ARRIVALS, where the profile has a rate
    burstiness: float = 1.0
    ramp_rps: tuple[float, float] | None = None  # of a ramp: the rate at its start and at its end
    trace_sha256: str | None = None  # of a replay: the file's contents
    trace_speed: float = 1.0
    probe: int | None = None  # of a capacity search: which of its measurements

    @property
    def once(self) -> Self:
        """The point without its repeat: equal for the repeats of a point, and for nothing else."""
        return replace(self, repeat=0)

    @property
    def load(self) -> Load:
        """What pairs the points of two sweeps: they are the same load, and may differ in how it was sent."""
        return self.profile, self.rate_rps, self.concurrency

    @property
    def slug(self) -> str:
        """Name the point in keys, file names and seeds: ``server_2rps_gamma0.25_r0``."""
        probe = "" if self.probe is None else f"p{self.probe}"
        parts = [self.profile, self._load(), self._manner(), *self._later(), f"r{self.repeat}", probe]
        return "_".join(filter(None, parts))

    @property
    def label(self) -> str:
        """Name the point for readers, without its repeat: ``server 4/s``, ``concurrency 8``, ``single_stream``."""
        return self.text(" {:g}/s", " {}")

    @property
    def metric_suffix(self) -> str:
        """Name the point at the end of a metric's name: ``at_qps_4``, ``concurrency_8``, ``single_stream``."""
        known = f"at_qps_{self.rate_rps:g}" if self.profile == "server" else f"{self.profile}{self._flight('_{}')}"
        return "_".join([known, *self._later()])

    def text(self, rate: str, in_flight: str) -> str:
        """Return the profile with the offered rate and the conversations in flight, each in the form given."""
        shown = "" if self.rate_rps is None else rate.format(self.rate_rps)
        return " ".join([f"{self.profile}{shown}{self._flight(in_flight)}", *self._later()])

    def _flight(self, form: str) -> str:
        return form.format(self.concurrency) if self.profile == "concurrency" else ""

    def _load(self) -> str:
        if self.profile == "single_stream":
            return ""
        if self.concurrency is not None:
            return str(self.concurrency)
        if self.trace_sha256 is not None:
            return f"{self.trace_speed:.10g}x"
        if self.ramp_rps is not None:
            return "{:.10g}to{:.10g}rps".format(*self.ramp_rps)
        return "" if self.rate_rps is None else f"{self.rate_rps:.10g}rps"

    def _manner(self) -> str:
        return {"poisson": "", "gamma": f"gamma{self.burstiness:.10g}"}.get(self.arrivals, self.arrivals)

    def _later(self) -> list[str]:
        return [f"{name}-{value}" for name, value in self.later_fields().items()]
