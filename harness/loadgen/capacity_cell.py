"""A capacity cell: the search of capacity.py, its probes measured on a server."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from harness.config.slo import Slo
from harness.loadgen.bench import Bench, Progress
from harness.loadgen.capacity import Capacity, Probe, capacity_result, make_probe, search
from harness.loadgen.client_flags import OF_THE_CLIENT
from harness.loadgen.probe_words import probe_words
from harness.loadgen.samples import row
from harness.records import Outcome
from harness.records.flag import Flag
from harness.records.point import LoadPoint

BURST = 64  # requests at once, to learn about where the capacity lies ...
START = 1.2  # ... which is above their rate: ramp and drain are in it


def measure_capacity(
    bench: Bench, point: LoadPoint, progress: Progress, say: Callable[[str], None] = lambda line: None
) -> Outcome:
    """Every probe has its own prompts and arrivals. `progress` counts probes, `say` is told of each. Raises
    CellError when a first burst of requests shows that the server does not answer."""
    burst = LoadPoint("throughput", None, min(BURST, point.requests), repeat=point.repeat)
    burst_rps = bench.run(burst).result.achieved_rps
    slo = Slo.of(bench.scenario.slo)
    rows: list[dict[str, Any]] = []
    flags: dict[str, list[Flag]] = {}
    probes: list[Probe] = []

    def probe(rate_rps: float, number: int, requests: int) -> Probe:
        one = replace(point, rate_rps=rate_rps, requests=requests, probe=number)
        run = bench.run(one, however_it_ends=True)
        for flag in run.flags:
            flags.setdefault(flag.code, []).append(flag)
        rows.extend({"probe": number, "rate_rps": rate_rps, **row(s)} for s in run.samples)
        progress(number + 1, bench.load.capacity.probes)
        valid = not any(flag.level == "invalid" and flag.code in OF_THE_CLIENT for flag in run.flags)
        probes.append(make_probe(run.samples, one, slo, valid))
        say(probe_words(probes, bench.load.capacity.probes))
        return probes[-1]

    capacity = search(probe, bench.load.capacity, burst_rps and START * burst_rps)
    return Outcome(capacity_result(capacity, slo, burst_rps), rows, _flags(capacity, flags))


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
