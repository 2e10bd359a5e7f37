"""Two variants side by side, of one sweep or of two: the pair as a study of its own, in which A is the baseline.

So everything that a study has, paired accuracy, readings, capacities, flags, is there for the pair by the same code.
Load points are compared where both sides sent the same kind of traffic; what is not compared is listed with its reason.
"""

from dataclasses import dataclass, replace

import numpy as np

from harness.analysis.differences import Difference, differences
from harness.analysis.findings import Findings, analyse
from harness.analysis.quality.accuracy import seed_of
from harness.analysis.speed.gemm_changes import ProductChange, product_changes
from harness.analysis.speed.performance import MIN_REQUESTS, PointResult
from harness.analysis.statistics.intervals import Estimate, log_ratio_interval, percentile_interval
from harness.analysis.study import Failure, Measured, Study
from harness.records.cell import Cell
from harness.records.manifest import Scenario, Variant
from harness.records.metrics import SHOWN_LATENCIES, spread
from harness.records.point import Load
from harness.records.request import Request

A, B = "A", "B"
DRAWS = 1000
SAME_TEXT = ("name", "corpus")  # of a scenario: another text of the same lengths is the same load
NOT_TRAFFIC = ("profile", "rate_rps", "concurrency", "requests", "repeat", "probe")  # of a point: how it is paired


@dataclass(frozen=True)
class Side:
    """`place`: how the user named it."""

    study: Study
    variant: str
    place: str

    @property
    def own(self) -> Variant:
        return self.study.variants[self.variant]


@dataclass(frozen=True)
class Change:
    """One metric at one load point. `ratio`: B / A; None where there is none, and `reason` says why.

    `lost`: A has the number and B, which planned the cell, has no valid one. A gate must not pass over that.
    """

    scenario: str
    load: str
    metric: str
    a: float | None
    b: float | None
    ratio: Estimate | None
    reason: str | None = None
    lost: bool = False


@dataclass(frozen=True)
class Comparison:
    a: Side
    b: Side
    findings: Findings  # of the pair: its baseline is A, its one variant B
    differences: tuple[Difference, ...]
    changes: tuple[Change, ...]
    not_compared: tuple[str, ...]
    products: tuple[ProductChange, ...] = ()  # of the GEMM studies

    @property
    def serves(self) -> bool:
        """False where nothing but products was to be measured."""
        return bool(self.study.suites or self.study.scenarios) or not self.products

    @property
    def study(self) -> Study:
        return self.findings.study


COMPARED = (*spread(SHOWN_LATENCIES), "output_tok_per_s")


def compare_sides(a: Side, b: Side, margin: float | None = None, command: str = "") -> Comparison:
    """`margin`: of non-inferiority; default: A's sweep's."""
    notes: list[str] = []
    scenarios = _scenarios(a, b, notes)
    suites = tuple(name for name in a.study.suites if name in b.study.suites)
    for side, other, word in ((a, b, A), (b, a, B)):
        notes += [f"suite {name}: only in {word}" for name in side.study.suites if name not in other.study.suites]
    judged = a.study is b.study and a.variant == a.study.baseline
    cells = {A: _cells(a, A, suites, scenarios, judged), B: _cells(b, B, suites, scenarios, judged)}
    if not judged and any(not m.cell.answered_by_variant for s in (a, b) for m in s.study.measured):
        notes.append("win rates: each is against its own sweep's baseline")
    cells = _same_traffic(cells, notes)
    known = {word: [*cells[word], *_products_of(side, word)] for side, word in ((a, A), (b, B))}
    if {(m.cell.key, m.started_at) for m in known[A]} & {(m.cell.key, m.started_at) for m in known[B]}:
        notes.append("A and B hold the same records: a measurement is compared with itself")
    study = _pair(a, b, cells, suites, scenarios, a.study.margin if margin is None else margin, command)
    findings = analyse(study)
    sides = [(s.own, s.study, known[word]) for s, word in ((a, A), (b, B))]
    changes = tuple(c for scenario in scenarios for c in _changes(findings, scenario, notes))
    products = product_changes((a.study, a.variant), (b.study, b.variant), notes)
    notes += [f"{r.suite}: {r.not_compared}" for r in findings.suites.values() if r.not_compared]
    return Comparison(a, b, findings, differences(*sides), changes, tuple(dict.fromkeys(notes)), products)


def _scenarios(a: Side, b: Side, notes: list[str]) -> dict[str, Scenario]:
    found = {}
    for name, own in a.study.scenarios.items():
        other = b.study.scenarios.get(name)
        if other is None:
            notes.append(f"scenario {name}: only in A")
        elif (own.prompt_tokens, own.output_tokens) != (other.prompt_tokens, other.output_tokens):
            notes.append(f"scenario {name}: its token counts differ")
        else:
            found[name] = own
            if own.slo != other.slo:
                found[name] = replace(own, slo={})
                notes.append(f"scenario {name}: the SLO differs, so the capacities are not compared")
    return found


def _cells(side: Side, word: str, suites, scenarios: dict[str, Scenario], judged: bool) -> list[Measured]:
    return [
        replace(m, cell=replace(m.cell, variant=word))
        for m in side.study.measured
        if side.own.has(m.cell)
        and (m.cell.suite in suites or _comparable_load(m.cell, scenarios))
        and (judged or m.cell.answered_by_variant)
    ]


def _products_of(side: Side, word: str) -> list[Measured]:
    found = [m for m in side.study.measured if m.cell.layer and m.cell.variant == side.variant]
    return [replace(m, cell=replace(m.cell, variant=word)) for m in found]


def _comparable_load(cell: Cell, scenarios: dict[str, Scenario]) -> bool:
    """A capacity that was searched for under another SLO is another question."""
    known = scenarios.get(cell.scenario) if cell.scenario else None
    return known is not None and not (cell.point and cell.point.profile == "capacity" and not known.slo)


def _same_traffic(cells: dict[str, list[Measured]], notes: list[str]) -> dict[str, list[Measured]]:
    """Without the load points at which the two sides were sent different traffic."""
    traffic = {word: {_place(m.cell): _traffic(m) for m in own if m.cell.point} for word, own in cells.items()}
    labels = {_place(m.cell): f"{m.cell.scenario}, {m.cell.point.label}" for m in cells[A] if m.cell.point}
    odd = {}
    for place in traffic[A].keys() & traffic[B].keys():
        one, two = traffic[A][place], traffic[B][place]
        if differing := sorted(k for k in one.keys() | two.keys() if one.get(k) != two.get(k)):
            odd[place] = f"{labels[place]}: the traffic differs ({', '.join(differing)})"
    notes += [odd[place] for place in traffic[A] if place in odd]
    return {word: [m for m in own if not m.cell.point or _place(m.cell) not in odd] for word, own in cells.items()}


def _place(cell: Cell) -> tuple[str, Load]:
    return cell.scenario, cell.point.load


def _traffic(measured: Measured) -> dict:
    shape = {k: v for k, v in measured.traffic.items() if k not in SAME_TEXT}
    point = measured.cell.point
    found = shape | {name: value for name, value in point.to_json().items() if name not in NOT_TRAFFIC}
    return found | ({"requests": point.requests} if point.profile == "throughput" else {})


def _pair(a: Side, b: Side, cells: dict, suites, scenarios, margin: float, command: str) -> Study:
    one, two = a.own, b.own
    labels = {A: f"A: {one.label}", B: f"B: {two.label}"}
    missing, failures = [], []
    for side, word in ((a, A), (b, B)):
        wanted = [c for c in side.study.missing if side.own.has(c)]
        missing += [replace(c, variant=word) for c in wanted if c.suite in suites or c.scenario in scenarios]
        for f in side.study.failures:
            if f.cell and side.own.has(f.cell) and (f.cell.suite in suites or f.cell.scenario in scenarios):
                failures.append(Failure(replace(f.cell, variant=word), f.key, f.error, f.log))
    return Study(
        name=f"{a.place} against {b.place}",
        description="",
        baseline=A,
        variants={word: _variant(v, word, labels[word]) for word, v in ((A, one), (B, two))},
        suites=suites,
        scenarios=scenarios,
        margin=margin,
        seed=a.study.seed,
        published=(),
        command=command,
        config={},
        host=a.study.host,
        harness=a.study.harness,
        data=a.study.data,
        measured=(*cells[A], *cells[B]),
        missing=tuple(missing),
        failures=tuple(failures),
        damaged=tuple(replace(d, path=f"{side.place}: {d.path}") for side in (a, b) for d in side.study.damaged),
    )


def _variant(v: Variant, name: str, label: str) -> Variant:
    return Variant(
        name, label, v.weights, v.activations, v.sparsity, checkpoint=v.checkpoint, checkpoint_bytes=v.checkpoint_bytes
    )


def _changes(findings: Findings, scenario: str, notes: list[str]) -> list[Change]:
    study = findings.study
    points = {word: {p.point.load: p for p in findings.points[word, scenario]} for word in (A, B)}
    broken = {c.point.load for c in _not_there(study, B) if c.scenario == scenario and c.point}
    found = []
    for key in [*points[A], *(key for key in points[B] if key not in points[A])]:
        one, two = points[A].get(key), points[B].get(key)
        point = (one or two).point
        if point.profile == "capacity":
            continue
        load = point.label
        reason, lost = _why_not(one, two, key in broken)
        if reason:
            notes.append(f"{scenario}, {load}: {reason}")
        for metric in COMPARED:
            a, b = (p.value(metric) if p else None for p in (one, two))
            if reason or a is None or b is None or not a or not b:
                why = reason or "no value"
                found.append(Change(scenario, load, metric, a, b, None, why, lost and bool(a)))
            else:
                ratio = _ratio(one, two, metric, seed_of(study.seed, scenario, load, metric))
                found.append(Change(scenario, load, metric, a, b, ratio))
    return found


def _not_there(study: Study, word: str) -> list[Cell]:
    cells = [*study.missing, *(f.cell for f in study.failures)]
    return [cell for cell in cells if cell.variant == word]


def _why_not(a: PointResult | None, b: PointResult | None, b_planned: bool) -> tuple[str | None, bool]:
    """(why the point is not compared, whether it is B that fails where A does not)."""
    if a is None:
        return "only in B", False
    if not a.valid:
        return f"invalid in A ({_flags(a)})", False
    if not a.reached:
        return f"A served {a.served_rps or 0:.2f}/s of the {a.rate_rps:g}/s offered", False
    if b is None:
        return ("failed or missing in B", True) if b_planned else ("only in A", False)
    if not b.valid:
        return f"invalid in B ({_flags(b)})", True
    if not b.reached:
        return f"B served {b.served_rps or 0:.2f}/s of the {b.rate_rps:g}/s offered, which A kept up with", True
    return None, False


def _flags(point: PointResult) -> str:
    return ", ".join(sorted({f.code for run in point.runs for f in run.flags if f.invalid}))


def _ratio(a: PointResult, b: PointResult, metric: str, seed: list[int]) -> Estimate:
    """B / A. The interval is of the repeats; of the requests where one run each has them independent: single stream."""
    value = b.value(metric) / a.value(metric)
    repeated = log_ratio_interval(b.values(metric), a.values(metric))
    if repeated.bounded or a.profile != "single_stream":
        return Estimate(value, repeated.low and value * repeated.low / repeated.value,
                        repeated.high and value * repeated.high / repeated.value)  # fmt: skip
    draws = [_draws(point, metric, [*seed, position]) for position, point in enumerate((a, b))]
    if any(d is None for d in draws):
        return Estimate(value)
    return percentile_interval(value, draws[1] / draws[0])


def _draws(point: PointResult, metric: str, seed: list[int]) -> np.ndarray | None:
    """Bootstrap draws of a latency's median or mean over whole requests; None for what they do not give.

    A tail percentile of a few requests is ruled by its largest value, which resampling cannot exceed.
    """
    latency, _, part = metric.partition("_ms_")
    groups = [g for run in point.runs for one in run.requests() if len(g := _values(one, latency))]
    if part not in ("p50", "mean") or len(groups) < MIN_REQUESTS:
        return None
    counts = np.random.default_rng(seed).multinomial(len(groups), np.full(len(groups), 1 / len(groups)), size=DRAWS)
    values, owner = np.concatenate(groups), np.repeat(np.arange(len(groups)), [len(g) for g in groups])
    if part == "mean":
        sums, sizes = np.array([g.sum() for g in groups]), np.array([len(g) for g in groups])
        return (counts @ sums) / (counts @ sizes)
    order = np.argsort(values)
    values, owner = values[order], owner[order]
    totals = (np.cumsum(weights[owner]) for weights in counts)
    return np.array([values[np.searchsorted(total, 0.5 * total[-1])] for total in totals])


def _values(request: Request, latency: str) -> np.ndarray:
    """A request's values in ms: one TTFT or E2E, an ITL for each token but the first."""
    if not request.answered:
        return np.empty(0)
    if latency == "itl":
        return 1e3 * np.diff(np.asarray(request.token_s, dtype=float))
    return 1e3 * np.array([request.ttft_s if latency == "ttft" else request.e2e_s])
