"""A capacity cell: the search of capacity.py, its probes measured on a server.

A probe's requests arrive over max(load.capacity.duration_s, .requests / rate) seconds, up to MOST_REQUESTS times that
where the precision takes it. An overloaded server would then drain its queue for as long as it likes, and what is still
open tells nothing new: it is cut off once the drain has taken as long as the arrivals, and no sooner than DRAIN times a
median answer of the burst at the start. The next probe begins when the server answers a single request again.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any

from harness.config.slo import Slo
from harness.loadgen.bench import Bench, PointRun, Progress
from harness.loadgen.capacity import Capacity, Probe, capacity_result, make_probe, search
from harness.loadgen.client_flags import LAG_SHARE, OF_THE_CLIENT
from harness.loadgen.probe_words import probe_words
from harness.loadgen.samples import row, sample_of
from harness.loadgen.traffic.requests import warm_up_requests
from harness.records import Outcome
from harness.records.fields import Json
from harness.records.flag import Flag
from harness.records.kept_probes import Kept, KeptProbe
from harness.records.point import LoadPoint

BURST = 64  # requests at once, to learn about where the capacity lies ...
START = 1.2  # ... which is above their rate: ramp and drain are in it
DRAIN = 3.0
FROM_THE_SEND = ("ttft_ms", "e2e_ms")  # gaps between tokens do not depend on when a request was sent
CUT_OFF = "cell_timeout"  # flag of requests that were cut off


@dataclass(frozen=True)
class Begun:
    """Probes of an earlier run of this search, and where to keep this one's."""

    probes: Sequence[Kept] = ()
    keep: Callable[[KeptProbe, Sequence[Json]], None] = lambda probe, rows: None


NOTHING = Begun()


def measure_capacity(
    bench: Bench,
    point: LoadPoint,
    progress: Progress,
    say: Callable[[str], None] = lambda line: None,
    begun: Begun = NOTHING,
) -> Outcome:
    """Every probe has its own prompts and arrivals. `progress` counts probes, `say` is told of each. Raises
    CellError when a first burst of requests shows that the server does not answer."""
    searched = _Search(bench, point, Slo.of(bench.scenario.slo), begun)
    most = bench.load.capacity.probes

    def told(found: Capacity) -> None:
        number = len(found.probes)
        progress(number, most)
        say(probe_words(found, most) + (", measured earlier" if number <= len(begun.probes) else ""))

    burst_rps = searched.burst_rps
    capacity = search(searched.probe, bench.load.capacity, burst_rps and START * burst_rps, told)
    flags = _flags(capacity, searched.flags)
    if begun.probes:
        message = f"{len(begun.probes)} of {len(capacity.probes)} probes were measured by a run that was interrupted"
        flags.append(Flag("search_resumed", "note", message))
    return Outcome(capacity_result(capacity, searched.slo, burst_rps), searched.rows, flags)


@dataclass
class _Search:
    """Takes a probe from those that were begun with, else measures and keeps it."""

    bench: Bench
    point: LoadPoint
    slo: Slo
    begun: Begun
    rows: list[dict[str, Any]] = field(default_factory=list)
    flags: dict[str, list[Flag]] = field(default_factory=dict)
    burst_rps: float | None = None
    burst_s: float | None = None  # median time of an answer in it

    def __post_init__(self) -> None:
        if self.begun.probes:
            first, _ = self.begun.probes[0]
            self.burst_rps, self.burst_s = first.burst_rps, first.burst_s
            return
        run = self.bench.run(LoadPoint("throughput", None, min(BURST, self.point.requests), repeat=self.point.repeat))
        self.burst_rps = run.result.achieved_rps
        self.burst_s = median(s.e2e_s for s in run.samples if s.completed)

    def probe(self, rate_rps: float, number: int, requests: int) -> Probe:
        if number < len(self.begun.probes):
            kept, rows = self.begun.probes[number]
        else:
            kept, rows = self._measured(rate_rps, number, requests)
        for flag in kept.flags:
            self.flags.setdefault(flag.code, []).append(flag)
        self.rows.extend({"probe": number, "rate_rps": kept.rate_rps, **one} for one in rows)
        samples = [sample_of(one) for one in rows]
        return make_probe(samples, self._point(kept.rate_rps, number, kept.requests), self.slo, kept.valid)

    def _point(self, rate_rps: float, number: int, requests: int) -> LoadPoint:
        return replace(self.point, rate_rps=rate_rps, requests=requests, probe=number)

    def _measured(self, rate_rps: float, number: int, requests: int) -> Kept:
        arrivals_s = requests / rate_rps
        most_s = arrivals_s + max(arrivals_s, DRAIN * (self.burst_s or 0.0))
        run = self.bench.run(self._point(rate_rps, number, requests), however_it_ends=True, timeout_s=most_s)
        if cut := any(s.cancelled for s in run.samples) and most_s < self.bench.load.cell_timeout_s:
            self._settle()
        kept = KeptProbe(
            number=number,
            rate_rps=rate_rps,
            requests=requests,
            valid=_sent_as_asked(run, self.slo),
            flags=tuple(flag for flag in run.flags if not (cut and flag.code == CUT_OFF)),
            burst_rps=self.burst_rps,
            burst_s=self.burst_s,
        )
        rows = [row(s) for s in run.samples]
        self.begun.keep(kept, rows)
        return kept, rows

    def _settle(self) -> None:
        """Wait until a request is answered: a server may go on with answers whose connections were closed."""
        bench = self.bench
        exact_length = bench.server.dialect.exact_length
        first, *_ = warm_up_requests(bench.traffic, bench.server.model, bench.tokenizer, exact_length)
        bench.send([first])


def _sent_as_asked(run: PointRun, slo: Slo) -> bool:
    """Late sends spoil a probe where they could decide it: above 10 % of the lowest limit that counts from the send."""
    wrong = {flag.code for flag in run.flags if flag.level == "invalid" and flag.code in OF_THE_CLIENT}
    limits = [(limit.metric, limit.value) for limit in slo.limits] + list(slo.each)
    least_ms = min((value for metric, value in limits if metric in FROM_THE_SEND), default=math.inf)
    if (run.result.send_lag_ms_p99 or 0.0) <= LAG_SHARE * least_ms:
        wrong.discard("client_lag")
    return not wrong


def _flags(capacity: Capacity, of_probes: dict[str, list[Flag]]) -> list[Flag]:
    """The search has left out what was invalid, so a probe's flag is at most a caution of the cell's."""
    count = len(capacity.probes)
    found = []
    for code, seen in of_probes.items():
        level = "note" if all(flag.level == "note" for flag in seen) else "caution"
        found.append(Flag(code, level, f"{len(seen)} of {count} probes: {seen[0].message}"))
    if not any(probe.valid for probe in capacity.probes):
        message = "the client could not produce the load of any probe; lower load.capacity.max_rps or add load.workers"
        found.append(Flag("no_valid_probe", "invalid", message))
    elif capacity.status == "unresolved":
        message = (
            f"the search did not narrow the capacity down in {count} probes; raise load.capacity.probes or .requests"
        )
        found.append(Flag("capacity_unresolved", "caution", message))
    return found
