"""The GEMM studies of two sweeps, or of two variants of one, side by side: a layer's time by batch size."""

from dataclasses import dataclass

from harness.analysis.speed.gemm import Gemm, gemm
from harness.analysis.statistics.intervals import Estimate, median_interval
from harness.analysis.statistics.repeats import log_ratio_interval
from harness.analysis.study import Study

Served = tuple[Study, str]  # and the variant


@dataclass(frozen=True)
class ProductChange:
    """`a`, `b`: seconds of all products of a layer, medians of the rounds. `ratio`: B / A, below 1 is faster; None
    where an answer is wrong or a side has no time, and `reason` says it.

    `paired`: of one run, whose formats were timed in turn: the median over rounds. Else of two runs: Welch's interval
    over their rounds, in which the differences from run to run are not.
    """

    batch: int
    a: float | None
    b: float | None
    ratio: Estimate | None
    reason: str | None = None
    paired: bool = False


def product_changes(a: Served, b: Served, notes: list[str]) -> tuple[ProductChange, ...]:
    """By batch size upwards; what cannot be compared as a whole goes to `notes`."""
    one, two = gemm(a[0]), gemm(b[0])
    in_a, in_b = (found is not None and bool(found.wholes.get(name)) for found, (_, name) in ((one, a), (two, b)))
    if one is None or two is None or not (in_a and in_b):
        if in_a or in_b:
            notes.append(f"products: only in {'A' if in_a else 'B'}")
        return ()
    if one.layers != two.layers:
        odd = sorted(n for n in one.layers.keys() | two.layers.keys() if one.layers.get(n) != two.layers.get(n))
        notes.append(f"products: other layers or other shapes in A and B ({', '.join(odd)})")
        return ()
    batches = sorted(one.wholes[a[1]].keys() | two.wholes[b[1]].keys())
    paired = a[0] is b[0] and _runs(*a) == _runs(*b)
    return tuple(_change(one, a[1], two, b[1], batch, paired) for batch in batches)


def _runs(study: Study, name: str) -> dict[str | None, str]:
    """When each layer was timed: cells that were added to a study later are of another run."""
    return {m.cell.layer: m.started_at for m in study.measured if m.cell.layer and m.cell.variant == name}


def _change(one: Gemm, name_a: str, two: Gemm, name_b: str, batch: int, paired: bool) -> ProductChange:
    a, b = one.wholes[name_a].get(batch), two.wholes[name_b].get(batch)
    seconds = (a.seconds if a else None, b.seconds if b else None)
    if a is None or b is None:
        return ProductChange(batch, *seconds, None, f"only in {'B' if a is None else 'A'}")
    if wrong := [word for word, whole in (("A", a), ("B", b)) if not whole.valid]:
        return ProductChange(batch, *seconds, None, f"the answer is wrong in {' and '.join(wrong)}")
    ours, base = _rounds(two, name_b, batch), _rounds(one, name_a, batch)
    if paired:
        ratio = median_interval([own / other for own, other in zip(ours, base, strict=False)])
        return ProductChange(batch, *seconds, ratio, paired=True)
    rounds = log_ratio_interval(ours, base)
    value = b.seconds / a.seconds
    scale = value / rounds.value
    bounds = (bound and scale * bound for bound in (rounds.low, rounds.high))
    return ProductChange(batch, *seconds, Estimate(value, *bounds))


def _rounds(found: Gemm, name: str, batch: int) -> list[float]:
    """Seconds of the whole layer in each round; a layer that ran out of time has fewer."""
    series = (found.products[name, layer, batch].times for layer in found.layers)
    return [sum(times) for times in zip(*series, strict=False)]
