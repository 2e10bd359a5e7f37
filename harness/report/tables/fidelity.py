"""Tables of fidelity to the baseline, where no answer is right or wrong: outputs that agree, distributions that differ,
and what the judge was found to know.
"""

from harness.analysis import Findings
from harness.analysis.quality.agreement import Sameness
from harness.analysis.quality.choices import ChoiceGap
from harness.analysis.quality.judge import JudgeFacts
from harness.analysis.quality.texts import TextGap
from harness.analysis.statistics.intervals import Estimate
from harness.report.tables.table import Table, Td, name_of, table
from harness.report.words import NONE, percent, plural, times

NAT_DIGITS = 3  # significant ones, of a divergence


def agreement_table(findings: Findings) -> Table:
    study, rows = findings.study, []
    for found in findings.agreements.values():
        part = f"subset: {found.items:,} of {found.population:,} items" if found.partial else ""
        suite = Td(found.suite, note=", ".join(fact for fact in (found.source, part) if fact))
        cut = f"{found.truncated} cut at the token limit" if found.truncated else ""
        start = [suite, name_of(study, found.variant), Td(f"{found.items:,}", note=cut)]
        if found.same is None:
            rows.append([*start, Td("not compared", "muted", found.not_compared or ""), *[Td(NONE, "muted")] * 2])
        else:
            rows.append([*start, *_sameness(found.same, found.noise)])
    heads = ["Suite", "Variant", ">Outputs", ">Exact match", ">Common prefix", ">Length ratio"]
    note = (
        "Greedy outputs beside the baseline's on the same prompts; no judge, and not quality: another wording "
        "disagrees and may be as good. Exact match: to the character, Wilson 95 % interval. Common prefix: "
        "characters before the first difference / characters of the baseline's output, mean over outputs. Length "
        "ratio: characters, variant / baseline. The baseline itself: its second run against its first; greedy decoding "
        "is not deterministic under concurrency, so that no variant can be expected above it."
    )
    return table("Agreement with the baseline's greedy outputs", heads, rows, note, group=0)


def _sameness(same: Sameness, noise: Sameness | None) -> list[Td]:
    return [
        Td(percent(same.exact), note=_baseline(percent(noise.exact) if noise else None)),
        Td(percent(same.prefix), note=_baseline(percent(noise.prefix) if noise else None)),
        Td(times(same.length_ratio), note=_baseline(times(noise.length_ratio) if noise else None)),
    ]


def distance_table(findings: Findings) -> Table:
    """Texts and multiple choice in one table: what is under the suite's name tells them apart."""
    study, rows = findings.study, []
    for text in findings.text_distances.values():
        part = f"subset: {text.windows:,} of {text.population:,} windows" if text.partial else ""
        what = ("a fixed text", text.source, part)
        suite = Td(text.suite, note=", ".join(fact for fact in what if fact))
        tokens = Td(f"{text.tokens:,} tokens", note=plural(text.windows, "window"))
        perplexity = Td(_number(text.perplexity, 3))
        row = [suite, name_of(study, text.variant), tokens, *_gap(text.gap, text.noise, text.not_compared)]
        if text.variant == study.baseline:
            row = [suite, name_of(study, text.variant), tokens, Td("baseline", "muted"), Td(""), Td("")]
        noise = _baseline(_ratio(text.noise) if text.noise else None)
        ratio = Td("") if text.gap is None else Td(_ratio(text.gap), note=noise)
        rows.append([*row, perplexity, ratio])
    for choice in findings.choice_distances.values():
        suite = Td(choice.suite, note=", ".join(fact for fact in ("multiple choice", choice.source) if fact))
        items = Td(f"{choice.gap.items:,} items" if choice.gap else NONE)
        gap = _gap(choice.gap, choice.noise, choice.not_compared)
        rows.append([suite, name_of(study, choice.variant), items, *gap, Td(""), Td("")])
    heads = ["Suite", "Variant", ">Over", ">KL divergence, nats", ">Covered", ">Top-1 agreement"]
    note = (
        "KL divergence of the variant's distribution from the baseline's, mean; 95 % intervals, resampled over windows "
        "of the text, or subjects. Multiple choice: over the choices. A fixed text: a lower bound, over the tokens "
        "that are among the likeliest of both, the rest as one; covered: the probability of those tokens. "
        "Top-1 agreement: share of tokens or items at which both prefer the same. Perplexity: lower is better. "
        "The baseline itself: its second run against its first."
    )
    return table("Distance from the baseline", [*heads, ">Perplexity", ">Perplexity ratio"], rows, note, group=0)


def _gap(gap: TextGap | ChoiceGap | None, noise: TextGap | ChoiceGap | None, reason: str | None) -> list[Td]:
    if gap is None:
        return [Td("not compared", "muted", reason or ""), Td(NONE, "muted"), Td(NONE, "muted")]
    bound = "≥ " if isinstance(gap, TextGap) else ""
    seen = Td(f"{100 * gap.covered:.1f} %") if isinstance(gap, TextGap) else Td("100 %")
    noise_kl = bound + _number(noise.kl, NAT_DIGITS) if noise else None
    kl = Td(bound + _number(gap.kl, NAT_DIGITS), note=_baseline(noise_kl))
    return [kl, seen, Td(percent(gap.top1), note=_baseline(percent(noise.top1) if noise else None))]


def _ratio(gap: TextGap) -> str:
    return _number(gap.ratio, 4)


def _number(estimate: Estimate | None, digits: int) -> str:
    """``0.0123 [0.0117, 0.0130]``: the bounds with the digits that the value has."""
    if estimate is None:
        return NONE
    text = f"{estimate.value:#.{digits}g}"
    places = len(text.partition(".")[2]) if "e" not in text else 6
    text = f"{estimate.value:.{places}f}"
    return f"{text} [{estimate.low:.{places}f}, {estimate.high:.{places}f}]" if estimate.bounded else text


def _baseline(shown: str | None) -> str:
    return f"the baseline itself: {shown}" if shown else ""


def known_pairs_table(findings: Findings) -> Table:
    """What each judge was found to know: one block of rows a judge."""
    rows: list[list[Td | str]] = []
    judges: dict[tuple[str, str], JudgeFacts] = {}
    for rate in findings.win_rates.values():
        judges.setdefault((rate.suite, rate.judge.name), rate.judge)
    for (suite, name), judge in judges.items():
        bias = Td(_points(judge.position_bias))
        start = Td(name, "code", suite)
        if judge.accuracy is None:
            rows.append([start, "not tried", Td(NONE), Td(NONE), bias])
            continue
        of = f"of {plural(judge.instructions, 'instruction')}" if judge.instructions else ""
        rows.append([start, Td("all", note=of), f"{judge.pairs:,}", _above(judge.accuracy), bias])
        if judge.same_length:
            what = Td("both answers of one length", note="another's answer, and the words shuffled")
            count = sum(pairs for kind, (_, pairs) in judge.by_kind.items() if kind in ("other", "shuffled"))
            rows.append([start, what, f"{count:,}", _above(judge.same_length), ""])
        for kind, (share, pairs) in judge.by_kind.items():
            note = WORSE.get(kind, "")
            if kind == "published" and judge.published:
                note = f"{judge.published.strong} over {judge.published.weak}: {judge.published.source}"
            rows.append([start, Td(kind, note=note), f"{pairs:,}", _above(share), ""])
    heads = ["Judge", "Known pairs", ">Pairs", ">Better answer found", ">First answer preferred, points"]
    note = (
        "An answer against a worse one, both orders taken together; 50 % is a coin. 95 % intervals, clustered by "
        "instruction. A win rate is shown only where the first two are above 50 %. Published pairs are known by the "
        "two models' standing over all instructions, not one by one. First answer preferred: share of judgements "
        "for the answer that was shown first, beyond 50 %."
    )
    return table("The judge on known pairs", heads, rows, note, group=0)


WORSE = {
    "other": "worse: the answer to another instruction",
    "truncated": "worse: the first quarter alone",
    "shuffled": "worse: the same words in a random order",
    "published": "worse: a weaker model's answer",
}


def _above(share: Estimate) -> Td:
    return Td(percent(share), "" if share.low is not None and share.low > 0.5 else "warn")


def _points(estimate: Estimate | None) -> str:
    if estimate is None:
        return NONE
    bounds = f" [{100 * estimate.bounds[0]:+.1f}, {100 * estimate.bounds[1]:+.1f}]" if estimate.bounds else ""
    return f"{100 * estimate.value:+.1f}{bounds}"
