"""Two variants side by side, of one sweep or of two: the pair as a study in which A is the baseline.

So everything that a study has, paired accuracy, readings, capacities, flags, is there for the pair by the same code.
Load points are compared where both sides sent the same kind of traffic; what is not compared is listed with its reason.
"""

from dataclasses import dataclass, replace

from harness.analysis.differences import Difference, differences
from harness.analysis.findings import Findings, analyse
from harness.analysis.load_changes import A, B, Change, load_changes
from harness.analysis.speed.gemm_changes import ProductChange, product_changes
from harness.analysis.study import Failure, Measured, Study
from harness.records.cell import Cell
from harness.records.manifest import Scenario, Variant
from harness.records.point import Load, LoadPoint

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
    changes = tuple(c for scenario in scenarios for c in load_changes(findings, scenario, notes))
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


def _cells(
    side: Side, word: str, suites: tuple[str, ...], scenarios: dict[str, Scenario], judged: bool
) -> list[Measured]:
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
    traffic = {
        word: {_place(m.cell, point): _traffic(m, point) for m in own if (point := m.cell.point)}
        for word, own in cells.items()
    }
    labels = {_place(m.cell, p): f"{m.cell.scenario}, {p.label}" for m in cells[A] if (p := m.cell.point)}
    odd = {}
    for place in traffic[A].keys() & traffic[B].keys():
        one, two = traffic[A][place], traffic[B][place]
        if differing := sorted(k for k in one.keys() | two.keys() if one.get(k) != two.get(k)):
            odd[place] = f"{labels[place]}: the traffic differs ({', '.join(differing)})"
    notes += [odd[place] for place in traffic[A] if place in odd]
    return {
        word: [m for m in own if not (point := m.cell.point) or _place(m.cell, point) not in odd]
        for word, own in cells.items()
    }


def _place(cell: Cell, point: LoadPoint) -> tuple[str | None, Load]:
    return cell.scenario, point.load


def _traffic(measured: Measured, point: LoadPoint) -> dict:
    shape = {k: v for k, v in measured.traffic.items() if k not in SAME_TEXT}
    found = shape | {name: value for name, value in point.to_json().items() if name not in NOT_TRAFFIC}
    return found | ({"requests": point.requests} if point.profile == "throughput" else {})


def _pair(
    a: Side,
    b: Side,
    cells: dict[str, list[Measured]],
    suites: tuple[str, ...],
    scenarios: dict[str, Scenario],
    margin: float,
    command: str,
) -> Study:
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
        decision=replace(a.study.decision, margin=margin),
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
