"""Load cells: a scenario of a variant at one load point."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

from harness.config.schema import Config
from harness.config.slo import Given, Slo
from harness.records import Outcome
from harness.records.cell import Cell, PlannedCell
from harness.records.fields import Json
from harness.records.kept_probes import KeptProbe
from harness.records.point import LoadPoint
from harness.sweeps.estimates.load_rules import conversation_tokens, load_s
from harness.sweeps.estimates.pace import Pace
from harness.sweeps.fingerprint import fingerprint
from harness.sweeps.kinds.contract import Bench, Tokens
from harness.sweeps.preflight.unsupported import emulated
from harness.sweeps.prepare import Prepared
from harness.sweeps.session import VARIANT, Session

NO_TRAFFIC = (
    "rates_rps",
    "slo",
    "tiers",
    "text",
)  # of a scenario: in the points, judged by later, in the corpus' digest

LATER = {"send": "generated", "api": None}  # settings that older fingerprints do not have, with their defaults


class Load:
    session = VARIANT
    times = True
    varies = True

    def plan(self, prepared: Prepared, session: Session, planned: Mapping[str, PlannedCell]) -> Iterator[PlannedCell]:
        config = prepared.config
        limits = {"request_timeout_s": config.load.request_timeout_s, "cell_timeout_s": config.load.cell_timeout_s}
        variant = session.variant_name
        for name in session.scenarios:
            scenario = config.scenarios[name]
            given = {key: value for key, value in asdict(scenario).items() if key not in NO_TRAFFIC}
            shape = {key: value for key, value in given.items() if key not in LATER or value != LATER[key]}
            traffic = {"name": name, **shape, "corpus": prepared.corpora[name]}
            for point in _informative(prepared.points[name], config, variant):
                inputs = {**session.inputs, "scenario": traffic, "point": point.to_json(), "seed": config.seed}
                inputs |= {"limits": limits, "tokenizer": prepared.tokenizer}
                if point.profile == "capacity":
                    inputs["search"] = {"slo": _searched(scenario.slo), **asdict(config.load.capacity)}
                key = f"{variant}/{name}/{point.slug}"
                yield PlannedCell(
                    key,
                    "load",
                    variant,
                    fingerprint(inputs),
                    scenario=name,
                    point=point,
                    repeat=point.repeat,
                    inputs=inputs,
                )

    def measure(self, cell: Cell, bench: Bench) -> Outcome:
        from harness.loadgen import bench as loadgen
        from harness.loadgen.capacity_cell import Begun
        from harness.loadgen.measure import measure
        from harness.loadgen.traffic.requests import Traffic

        config, name = bench.prepared.config, cell.scenario_name
        traffic = Traffic(name, config.scenarios[name], config.load, config.seed)
        sent = loadgen.Bench(bench.server, bench.tokenizer(), traffic)

        def keep(probe: KeptProbe, rows: Sequence[Json]) -> None:
            bench.confirm_build()  # it will be read as one of this build
            probes.keep(cell.fingerprint, probe, rows)

        probes = bench.store.probes
        begun = Begun(probes.read(cell.fingerprint), keep)
        return measure(sent, cell.load_point, bench.advance, lambda line: bench.say(f"{cell.key}: {line}"), begun)

    def seconds(self, cell: Cell, prepared: Prepared, pace: Pace, first: bool) -> float:
        return load_s(prepared.config.scenarios[cell.scenario_name], cell.load_point, prepared.config.load, pace)

    def tokens(self, cell: Cell, prepared: Prepared) -> Tokens:
        return load_tokens(prepared.config, cell)

    def remark(self, cells: Sequence[Cell], prepared: Prepared) -> str | None:
        return None


def _informative(points: Sequence[LoadPoint], config: Config, variant: str) -> Sequence[LoadPoint]:
    """Return the points without their repeats where the speed is an emulation's: an interval of it shows nothing."""
    return [point for point in points if not point.repeat] if emulated(config, variant) else points


def _searched(slo: Given) -> dict[str, float | None]:
    """Return the SLO of a search: the two limits that every stored search has, and those beside them."""
    return {"ttft_ms_p99": None, "itl_ms_p99": None} | Slo.of(slo).to_json()


def load_tokens(config: Config, cell: Cell) -> Tokens:
    """Count every request of the point; of a capacity search, of as many probes at its highest rate."""
    scenario, point = config.scenarios[cell.scenario_name], cell.load_point
    requests = point.requests
    if point.profile == "capacity":
        search = config.load.capacity
        requests = search.probes * max(search.requests, round(search.duration_s * search.max_rps))
    prompts, outputs = conversation_tokens(scenario)
    return requests * prompts, requests * outputs
