"""The conclusion of a comparison: whether B regresses, by how much, and from how many measurements."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from harness.analysis.comparison import Comparison
from harness.analysis.decision.gates import INCONCLUSIVE, NOTE, REFUSED, Check
from harness.analysis.load_changes import A, B
from harness.analysis.statistics.intervals import Estimate
from harness.report.tables.comparison import metric_name
from harness.report.tables.gates import check_text, limit_text
from harness.report.words import percent, plural, times

Compared = Sequence[tuple[Comparison, Sequence[Check]]]  # each pair with its checks
MOST = 3  # numbers that a sentence names
ACCURACY = "accuracy"
ONE_START = "one start of each, so how much starts differ is not known"


@dataclass(frozen=True)
class Headline:
    """`ratio`: B against A, above 1 is better."""

    name: str
    ratio: Estimate
    shown: str

    @property
    def tone(self) -> str:
        """good | bad where the 95 % interval excludes no change, else ""."""
        return ("good" if self.ratio.value > 1 else "bad") if self.ratio.bounded and self.ratio.excludes(1.0) else ""


def headlines(comparison: Comparison) -> list[Headline]:
    """What there is of accuracy, single stream, throughput and capacity."""
    if not comparison.serves:
        return []
    findings = comparison.findings
    average, speed = findings.averages.get(B), findings.speedups.get(B)
    found: list[tuple[str, Estimate | None, Callable[[Estimate | None], str]]] = [
        ("accuracy", average.recovery if average else None, percent)
    ]
    if speed:
        found += [("single-stream speed", speed.latency, times), ("throughput", speed.throughput, times)]
        found += [("requests at the SLO", speed.capacity, times)]
    return [Headline(name, ratio, show(ratio)) for name, ratio, show in found if ratio is not None]


def sizes(comparison: Comparison) -> str:
    """``820 items, 2 and 2 runs a load point``: the measurements on each side."""
    findings, items = comparison.findings, _items(comparison)
    runs = [
        max((len(p.runs) for (own, _), points in findings.points.items() if own == word for p in points), default=0)
        for word in (A, B)
    ]
    said = [items] if items else []
    if all(runs):
        counts = " and ".join(map(str, dict.fromkeys(runs)))
        said.append(f"{counts} {'run' if max(runs) == 1 else 'runs'} a load point on each side")
    return ", ".join(said)


def _items(comparison: Comparison) -> str:
    """``820 items``, over all suites; empty without any."""
    suites = comparison.findings.suites
    items = sum(result.items for (word, _), result in suites.items() if word == B and result.comparison)
    return plural(items, "item") if items else ""


def regression(compared: Compared, strict: bool = False) -> str:
    """Say whether B regresses: with gates what they decide, else what the 95 % intervals exclude."""
    checks = [(c, check) for c, own in compared for check in own if check.status != NOTE]
    return " ".join(_gated(checks, compared, strict)) if checks else _ungated(compared)


def _gated(checks: list[tuple[Comparison, Check]], compared: Compared, strict: bool) -> Iterator[str]:
    counted, failing = len(checks), [(c, check) for c, check in checks if check.failed(strict)]
    undecided = sum(check.status == INCONCLUSIVE for _, check in checks)
    refused = sum(check.status == REFUSED for _, check in checks)
    if failing:
        comparison, worst = max(failing, key=lambda found: found[1].excess)
        head = "B regresses" if worst.estimate else "B cannot be cleared"
        yield f"{head}: {_what(comparison, worst)}. {len(failing)} of {plural(counted, 'check')} failed."
        return
    if refused:
        yield f"Not decided: {refused} of {plural(counted, 'check')} lack starts to compare; none failed."
    elif undecided:
        open_ = [(c, check) for c, check in checks if check.status == INCONCLUSIVE]
        first = max(open_, key=lambda found: found[1].excess)
        yield (
            f"No regression is established; {undecided} of {plural(counted, 'check')} are inconclusive, "
            f"nearest to failing: {_what(*first)}."
        )
    else:
        kept = "the one check keeps its" if counted == 1 else f"all {counted} checks keep their"
        yield f"No regression: {kept} limit."
    if worse := [name for name, headline in _named(compared) if headline.tone == "bad"]:
        yield f"Lower, and in no failed check: {_listed(worse[:MOST])} of A ({ONE_START})."


def _what(comparison: Comparison, check: Check) -> str:
    label = comparison.b.study.label(comparison.b.variant)
    if check.estimate is None:
        return f"{label}, {check.what}: {check.reason}"
    starts = check.starts
    measured = f"{starts.reference} starts of A, {starts.candidate} of B" if starts else _items(comparison)
    what = check.what.replace(check.metric, metric_name(check.metric)) if check.metric else check.what
    return f"{label}, {what}: {check_text(check, check.estimate)}, limit {limit_text(check)} ({measured})"


def _ungated(compared: Compared) -> str:
    found = _named(compared)
    if not found:
        return ""
    said, lowest = found[0]
    comparison = min((c for c, _ in compared), key=lambda c: lowest not in headlines(c))
    measured = sizes(comparison) if lowest.ratio.bounded else f"{sizes(comparison)}; no interval"
    better = [name for name, headline in found if headline.tone == "good"]
    gained = f" B improves: {_listed(better[:MOST])} of A." if better else ""
    if worse := [(name, headline) for name, headline in found if headline.tone == "bad"]:
        more = f" and {len(worse) - MOST} more" if len(worse) > MOST else ""
        names = _listed([name for name, _ in worse[:MOST]])
        if any(headline.name == ACCURACY for _, headline in worse):
            return f"B regresses: {names} of A{more} ({measured}).{gained}"
        return f"B measured slower: {names} of A{more} ({measured}; {ONE_START}).{gained}"
    return f"No regression is established; lowest: {said} of A ({measured}).{gained}"


def _named(compared: Compared) -> list[tuple[str, Headline]]:
    """The headline numbers in words, with the variant where there are several; the lowest ratio first."""
    found = []
    for comparison, _ in compared:
        label = f"{comparison.b.study.label(comparison.b.variant)}, " if len(compared) > 1 else ""
        found += [(f"{label}{headline.name} {headline.shown}", headline) for headline in headlines(comparison)]
    return sorted(found, key=lambda each: each[1].ratio.value)


def _listed(parts: list[str]) -> str:
    return f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else "".join(parts)
