"""The verdicts of non-inferiority in words: on average, on each suite, and what a reader must know to believe them."""

from harness.analysis import Findings
from harness.analysis.quality.accuracy import AverageRecovery, SuiteResult
from harness.analysis.quality.paired import ESTABLISHED, Comparison
from harness.analysis.statistics.significance import ALPHA


def verdict_words(findings: Findings, name: str) -> str:
    """Both verdicts of a variant, and their cautions; nothing where it has no average, or another variant's."""
    average = findings.averages[name]
    if average.recovery is None or findings.study.variants[name].accuracy_of:
        return ""
    said = f"Non-inferiority at a {100 * findings.study.margin:g} % margin: {average.verdict} "
    if len(average.suites) == 1:
        said += f"on {average.suites[0]}."
    else:
        said += f"on average over {len(average.suites)} suites, {each_suite(findings, name)}."
    results = [result for (variant, _), result in findings.suites.items() if variant == name]
    return " ".join([said, *(f"On {r.suite}: {why}." for r in results for why in cautions(findings, r))])


def difference_words(findings: Findings, average: AverageRecovery) -> str:
    """What the average recovery says of 1, corrected by Holm for the variants that are compared."""
    recovery, several = average.recovery, len(findings.study.forms)
    if recovery is None or not recovery.excludes(1.0):
        return " (no significant difference)"
    word = "loss" if recovery.value < 1 else "gain"
    if average.p_holm is not None and average.p_holm < ALPHA:
        return f" (a significant {word})"
    return f" (a nominal {word}, not significant when corrected for {several} variants)"


def cautions(findings: Findings, result: SuiteResult) -> list[str]:
    """In words, for the verdict of a variant on one suite; none where it can be taken as it is."""
    c, base = result.comparison, findings.suites.get((findings.study.baseline, result.suite))
    if c is None or c.verdict is None:
        return []
    found = []
    if base and base.at_chance and base.chance is not None:
        found.append(f"the baseline is at chance ({100 * base.chance:.0f} %): two models that guess agree")
    if c.by_luck:
        found.append("too few items: established hardly less often for a variant at the margin")
    if c.clustered_verdict and c.clustered_verdict != c.verdict:
        found.append(f"{c.clustered_verdict} when items of one subject may be alike")
    return found


def each_suite(findings: Findings, name: str) -> str:
    """``established on 3 of 4 suites (inconclusive on gsm8k)``: the verdicts that the recommendation uses."""
    comparisons = {suite: r.comparison for (v, suite), r in findings.suites.items() if v == name}
    kept = [suite for suite, c in comparisons.items() if c and c.verdict == ESTABLISHED]
    others: dict[str, list[str]] = {}
    for suite, c in comparisons.items():
        if suite not in kept:
            others.setdefault(_verdict(c), []).append(suite)
    rest = "; ".join(f"{verdict} on {', '.join(suites)}" for verdict, suites in others.items())
    return f"established on {len(kept)} of {len(comparisons)} suites" + (f" ({rest})" if rest else "")


def _verdict(comparison: Comparison | None) -> str:
    if comparison is None:
        return "not compared"
    return comparison.verdict or "not defined (the baseline scored nothing)"
