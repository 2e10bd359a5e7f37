"""Tables of accuracy: the variants at a glance, recovery by suite, the judge, published figures."""

from harness.analysis import Findings
from harness.analysis.accuracy import NOT_SHOWN, REFUTED, SHOWN, SuiteResult, counted
from harness.analysis.intervals import Estimate
from harness.analysis.judge import WinRate
from harness.analysis.scalars import scalars
from harness.analysis.validity import emulated
from harness.report.tables import Table, Td, best, name_of, table
from harness.report.words import NONE, number, p_value, percent, plural, points, size, times

TONES = {SHOWN: "good", NOT_SHOWN: "", REFUTED: "bad"}


def variants_table(findings: Findings) -> Table:
    study = findings.study
    one = {study.baseline: Estimate(1.0)}
    averages = one | {name: average.recovery for name, average in findings.averages.items()}
    columns = {"recovery": averages, "latency": one | findings.latency, "throughput": one | findings.throughput}
    winners = {key: best(column) for key, column in columns.items()}
    base_bytes = study.variants[study.baseline].checkpoint_bytes if study.baseline in study.variants else None
    slow = emulated(study)  # their speed is no merit and no fault of the scheme: never marked as the best

    def gain(key: str, name: str, show) -> Td:
        estimate = columns[key].get(name)
        if name == study.baseline:
            return Td("100 %" if key == "recovery" else "1", "muted", "baseline")
        note = findings.averages[name].verdict or findings.averages[name].reason if key == "recovery" else ""
        if estimate and key != "recovery":
            note = "emulated" if name in slow else "" if estimate.bounded else "one run each"
        if key == "recovery" and estimate:
            note = f"non-inferior: {note}"
        wins = winners[key] == name and (key == "recovery" or name not in slow)
        return Td(show(estimate), "best" if wins else "" if estimate else "muted", note or "")

    rows = []
    for name, v in study.variants.items():
        smaller = ""
        if base_bytes and v.checkpoint_bytes and name != study.baseline:
            smaller = f"{v.checkpoint_bytes / base_bytes:.2f}× of the baseline"
        rows.append(
            [
                name_of(study, name, "baseline" if name == study.baseline else ""),
                v.weights or NONE,
                v.activations or NONE,
                v.sparsity or NONE,
                Td(size(v.checkpoint_bytes), note=smaller),
                gain("recovery", name, percent),
                gain("latency", name, times),
                gain("throughput", name, times),
                Td(v.checkpoint or NONE, "code"),
            ]
        )
    heads = ["Variant", "Weights", "Activations", "Sparsity", ">Weights on disk", ">Average recovery"]
    heads += [">Single-stream speed-up", ">Throughput gain", "Checkpoint"]
    note = (
        "Brackets: 95 % interval. Average recovery: sum of suite scores / sum of the baseline's. Speed-up: E2E p50, "
        "geometric mean over scenarios. The best of a column is marked only where its interval is clear of all others."
    )
    return table("Variants", heads, rows, note)


def recovery_table(findings: Findings) -> Table:
    study, rows = findings.study, []
    for suite in study.suites:
        for name in study.variants:
            if result := findings.suites.get((name, suite)):
                rows.append(_suite_row(findings, result))
            elif rate := findings.win_rates.get((name, suite)):
                rows.append(_win_row(findings, rate))
    for name, average in findings.averages.items():
        shown = Td(percent(average.recovery), note=average.reason or "")
        verdict = Td(average.verdict or NONE, TONES.get(average.verdict, "muted"))
        suite = Td("average", note=f"{plural(len(average.suites), 'suite')} with equal weight")
        rows.append([suite, name_of(study, name), "", "", "", "", "", shown, "", "", verdict])
    heads = ["Suite", "Variant", ">Score", ">Items", ">Difference, points", ">Noise floor", ">Detectable", ">Recovery"]
    heads += [">Flips lost / gained", ">p, corrected", f"Non-inferior at {100 * study.margin:g} %"]
    note = (
        "Score: Wilson 95 % interval. Difference and recovery: paired bootstrap over the same items, 95 %; by subject: "
        "items of one subject may be alike (clustered standard error). Noise floor: the baseline's second run minus "
        "its first. Detectable: the true difference, in points, that these items show in 4 of 5 studies. Flips: items "
        "lost and gained against the baseline. p: exact McNemar test (fractional scores: paired t), corrected by Holm "
        "for every comparison of this sweep. Shown: the whole "
        f"recovery interval lies at or above {100 * (1 - study.margin):g} %; refuted: it lies below; else not shown."
    )
    return table("Recovery by suite", heads, rows, note, group=0)


def _suite_row(findings: Findings, result: SuiteResult) -> list:
    study, c = findings.study, result.comparison
    part = f"a part: {result.items:,} of {result.population:,} items" if result.partial else ""
    suite = Td(result.suite, note=", ".join(fact for fact in (result.metric, result.source, part) if fact))
    spread = f"by subject {percent(result.clustered)}" if result.clustered else ""
    score = Td(percent(result.score), "" if result.valid else "bad", spread if result.valid else "INVALID")
    items = Td(f"{result.items:,}", "warn" if result.partial else "", counted(result.counts))
    start = [suite, name_of(study, result.variant), score, items]
    if result.variant == study.baseline:
        return [*start, *[Td("baseline" if i == 0 else "", "muted") for i in range(7)]]
    if c is None:
        return [*start, Td("not compared", "muted", result.not_compared or ""), *[Td(NONE, "muted")] * 6]
    clustered = f"by subject {points(c.clustered)}" if c.clustered else ""
    difference = Td(points(c.difference), note=clustered)
    noise = Td(points(c.noise), "" if c.noise else "muted", "" if c.noise else "the baseline ran once")
    recovery = Td(percent(c.recovery), note="" if c.recovery else "the baseline scored nothing")
    verdict = Td(c.verdict, TONES[c.verdict])
    detectable = f"{100 * c.detectable:.1f}"
    p = Td(p_value(c.p_holm), note=f"alone {p_value(c.p)}" if c.p is not None else "")
    return [*start, difference, noise, detectable, recovery, f"{c.lost} / {c.gained}", p, verdict]


def _win_row(findings: Findings, rate: WinRate) -> list:
    what = f"win rate against {rate.reference}, 50 % is equal"
    part = f"a part: {rate.items:,} of {rate.population:,} items" if rate.partial else ""
    suite = Td(rate.suite, note=", ".join(fact for fact in (what, rate.source, part) if fact))
    shown = Td(percent(rate.win_rate)) if rate.win_rate else Td("not shown", "muted", "see Judge")
    items = Td(f"{rate.items:,}", "warn" if rate.partial else "", counted(rate.counts))
    return [suite, name_of(findings.study, rate.variant), shown, items, Td("no recovery", "muted"), *[Td("")] * 6]


def categories_table(findings: Findings) -> Table:
    """MMLU's four categories; no rows where no suite has categories."""
    rows = []
    for (name, suite), result in findings.suites.items():
        for category, score in result.categories.items():
            base = findings.suites.get((findings.study.baseline, suite))
            of_base = base.categories.get(category) if base and name != findings.study.baseline else None
            gap = points(Estimate(score.value - of_base.value)) if of_base else "baseline"
            what = Td(f"{suite}, {category.replace('_', ' ')}")
            rows.append([what, name_of(findings.study, name), percent(score), Td(gap, "" if of_base else "muted")])
    rows.sort(key=lambda row: row[0].text)  # stable: variants stay in the sweep's order
    note = "Weighted by items, as the whole suite's score. Wilson 95 % interval; differences of parts are not tested."
    return table("Scores by category", ["Category", "Variant", ">Score", ">Difference, points"], rows, note, group=0)


def judge_table(findings: Findings) -> Table:
    rows = []
    for rate in findings.win_rates.values():
        judge = rate.judge
        known = Td(percent(judge.accuracy), note=f"{judge.pairs} pairs" if judge.pairs else "")
        if rate.win_rate is None:
            shown = Td(f"not shown: {rate.reason}", "warn")
        else:
            side = "differs from 50 %" if rate.win_rate.excludes(0.5) else "no significant difference from 50 %"
            shown = Td(percent(rate.win_rate), note=side)
        parsed = NONE if judge.parse_rate is None else f"{100 * judge.parse_rate:.1f} %"
        longer = NONE if rate.length_difference is None else f"{rate.length_difference:+.0f} {rate.length_unit}"
        row = [name_of(findings.study, rate.variant), shown, rate.reference, f"{rate.items:,}"]
        rows.append([*row, longer, Td(judge.name, "code"), known, parsed])
    heads = ["Variant", "Win rate", "Against", ">Items", ">Length difference", "Judge", ">Judge on known pairs"]
    note = (
        "Judge on known pairs: how often it prefers the answer that is known to be better; 50 % is a coin. A win rate "
        "stands here only where that interval lies above 50 %. The baseline's win rate against itself is 50 % by "
        "definition. Length difference: mean over answers, variant minus reference; judges favour length."
    )
    return table("Win rates", [*heads, ">Judgements read"], rows, note)


def published_table(findings: Findings) -> Table:
    study, rows = findings.study, []
    for entry in study.published:
        variant, suite, metric = entry.get("variant", ""), entry.get("suite"), entry.get("metric")
        value = float(entry["value"])
        if suite:
            result, rate = findings.suites.get((variant, suite)), findings.win_rates.get((variant, suite))
            own = result.score if result and result.valid else rate.win_rate if rate else None
            value = value / 100 if value > 1.5 else value  # scores are published in percent as well as in 0..1
            difference = points(Estimate(own.value - value)) + " points" if own else NONE
            shown = [percent(Estimate(value)), percent(own), difference]
        else:
            own = scalars(findings, variant).get(metric) if variant in study.variants else None
            shown = [number(value), number(own), NONE if own is None else f"{100 * (own / value - 1):+.1f} %"]
        source = Td(str(entry.get("source", "")), "muted")
        rows.append(
            [name_of(study, variant) if variant in study.variants else variant, suite or metric, *shown, source]
        )
    heads = ["Variant", "What", ">Published", ">Measured here", ">Difference", "Source"]
    return table("Published against measured", heads, rows)
