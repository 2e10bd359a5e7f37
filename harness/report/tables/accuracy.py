"""Tables of accuracy: recovery by suite, the judge."""

from harness.analysis import Findings
from harness.analysis.quality.accuracy import ESTABLISHED, INCONCLUSIVE, REJECTED, SuiteResult, counted
from harness.analysis.quality.judge import WinRate
from harness.analysis.statistics.intervals import Estimate
from harness.report.non_inferiority import cautions
from harness.report.tables.table import Table, Td, name_of, table
from harness.report.words import NONE, items_needed, p_value, percent, plural, points

TONES = {ESTABLISHED: "good", INCONCLUSIVE: "", REJECTED: "bad"}


def recovery_table(findings: Findings) -> Table:
    study, rows = findings.study, []
    for suite in study.suites:
        for name in study.variants:
            if result := findings.suites.get((name, suite)):
                rows.append(_suite_row(findings, result))
            elif rate := findings.win_rates.get((name, suite)):
                rows.append(_win_row(findings, rate))
    for name in study.forms if rows else ():
        average = findings.averages[name]
        if average.uninformative:
            continue
        shown = Td(percent(average.recovery), note=average.reason or "")
        verdict = Td(average.verdict or NONE, TONES.get(average.verdict or "", "muted"))
        without = f"; {average.why_left_out}" if average.left_out else ""
        over = Td("average", note=f"{plural(len(average.suites), 'suite')} with equal weight{without}")
        rows.append([over, name_of(study, name), "", "", "", "", "", shown, "", "", verdict])
    heads = ["Suite", "Variant", ">Score", ">Items", ">Difference, points", ">Noise floor", ">Detectable", ">Recovery"]
    heads += [">Flips lost / gained", ">p, corrected", f"Non-inferior at {100 * study.margin:g} %"]
    note = (
        "Score: Wilson 95 % interval. Difference and recovery: paired bootstrap over the same items, 95 %; by subject: "
        "items of one subject may be alike (clustered standard error). Noise floor: the baseline's second run minus "
        "its first, and the items that it lost and gained; both runs are the reference. Detectable: the true "
        "difference, in points, that an uncorrected 5 % test of these items finds in 4 of 5 studies. Flips: items "
        "lost and gained against the baseline's first run. p: exact McNemar test (fractional scores, or two runs of "
        "the baseline: paired t), corrected by Holm for every comparison of this sweep. Established: the whole "
        f"recovery interval is at or above {100 * (1 - study.margin):g} %; rejected: it is below; else "
        "inconclusive, and beneath it the items on which an equivalent variant would be established in 4 of 5 "
        "studies, from the lowest to the highest share of disagreements that fits these items."
    )
    return table("Recovery by suite", heads, rows, note, group=0)


def _suite_row(findings: Findings, result: SuiteResult) -> list:
    study, c = findings.study, result.comparison
    part = f"subset: {result.items:,} of {result.population:,} items" if result.partial else ""
    suite = Td(result.suite, note=", ".join(fact for fact in (result.metric, result.source, part) if fact))
    chance = f"at chance ({100 * result.chance:.0f} %)" if result.at_chance and result.chance else ""
    spread = "; ".join(filter(None, (f"by subject {percent(result.clustered)}" if result.clustered else "", chance)))
    score = Td(percent(result.score), "" if result.valid else "bad", spread if result.valid else "INVALID")
    items = Td(f"{result.items:,}", "warn" if result.partial else "", counted(result.counts))
    start = [suite, name_of(study, result.variant), score, items]
    if result.variant == study.baseline:
        return [*start, *[Td("baseline" if i == 0 else "", "muted") for i in range(7)]]
    if c is None:
        return [*start, Td("not compared", "muted", result.not_compared or ""), *[Td(NONE, "muted")] * 6]
    clustered = f"by subject {points(c.clustered)}" if c.clustered else ""
    difference = Td(points(c.difference), note=clustered)
    flips = "flips {} / {}".format(*c.noise_flips) if c.noise_flips else "the baseline ran once"
    noise = Td(points(c.noise), "" if c.noise else "muted", flips)
    recovery = Td(percent(c.recovery), note="" if c.recovery else "the baseline scored nothing")
    wanted = c.items_to_show if c.verdict == INCONCLUSIVE and (c.items_to_show or 0) > result.items else None
    needed = f"needs {items_needed(c.items_range or (wanted, wanted))} items" if wanted else ""
    verdict = Td(
        c.verdict or NONE,
        TONES.get(c.verdict or "", "muted"),
        "; ".join(filter(None, (*cautions(findings, result), needed))),
    )
    detectable = f"{100 * c.detectable:.1f}"
    p = Td(p_value(c.p_holm), note=f"{c.test}, alone {p_value(c.p)}" if c.p is not None else "")
    return [*start, difference, noise, detectable, recovery, f"{c.lost} / {c.gained}", p, verdict]


def _win_row(findings: Findings, rate: WinRate) -> list:
    what = f"win rate against {rate.reference}, 50 % is equal"
    part = f"subset: {rate.items:,} of {rate.population:,} items" if rate.partial else ""
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
            what, shown = Td(f"{suite}, {category.replace('_', ' ')}"), Td(percent(score))
            rows.append([what, name_of(findings.study, name), shown, Td(gap, "" if of_base else "muted")])
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
            side = (
                "nominally different from 50 %"
                if rate.win_rate.excludes(0.5)
                else "no significant difference from 50 %"
            )
            shown = Td(percent(rate.win_rate), note=side)
        parsed = NONE if judge.parse_rate is None else f"{100 * judge.parse_rate:.1f} %"
        longer = NONE if rate.length_difference is None else f"{rate.length_difference:+.0f} {rate.length_unit}"
        row = [name_of(findings.study, rate.variant), shown, rate.reference, f"{rate.items:,}"]
        rows.append([*row, longer, Td(judge.name, "code"), known, parsed])
    heads = ["Variant", "Win rate", "Against", ">Items", ">Length difference", "Judge", ">Judge on known pairs"]
    note = (
        "Judge on known pairs: how often it prefers the answer that is known to be better; 50 % is a coin. A win rate "
        "is here only where that interval is above 50 %. The baseline's win rate against itself is 50 % by "
        "definition. Length difference: mean over answers, variant minus reference; judges favour length."
    )
    return table("Win rates", [*heads, ">Judgements parsed"], rows, note)
