"""Tables of serving performance: single stream, throughput, other loads, the data behind the figures."""

from harness.analysis import Findings
from harness.analysis.decision.pareto import RECOVERY, Front
from harness.analysis.speed.capacity import searched_capacity
from harness.analysis.speed.performance import PointResult, at, ladder
from harness.report.tables.table import Table, Td, name_of, table
from harness.report.words import NONE, bounded_ratio, number, percent, rate, times


def _value(point: PointResult | None, metric: str) -> Td:
    if point is None or point.value(metric) is None:
        return Td(NONE, "muted")
    spread = point.spread(metric)
    note = f"{number(spread[0])} to {number(spread[1])}" if spread else ""
    return Td(number(point.value(metric)), "" if point.valid else "bad", note if point.valid else "INVALID")


def _name(findings: Findings, variant: str) -> Td:
    return name_of(findings.study, variant, "emulated" if variant in findings.emulated else "")


def single_stream_table(findings: Findings) -> Table:
    metrics = ("ttft_ms_p50", "ttft_ms_p99", "itl_ms_p50", "itl_ms_p99", "e2e_ms_p50", "e2e_ms_p99")
    rows = []
    for scenario in findings.study.scenarios:
        for variant in findings.study.variants:
            if (point := at(findings.points[variant, scenario], "single_stream")) is None:
                continue
            against = findings.against.get((variant, scenario))
            gains = [
                Td(times(against.speedups.get(metric)) if against else "baseline", "" if against else "muted")
                for metric in ("e2e_ms_p50", "tpot_ms_p50", "ttft_ms_p50")
            ]
            rows.append([scenario, _name(findings, variant), *(_value(point, m) for m in metrics), *gains])
    heads = [
        "Scenario",
        "Variant",
        ">TTFT p50, ms",
        ">TTFT p99",
        ">ITL p50, ms",
        ">ITL p99",
        ">E2E p50, ms",
        ">E2E p99",
    ]
    heads += [">E2E speed-up", ">TPOT speed-up", ">TTFT speed-up"]
    note = "One request at a time. Speed-up: the baseline's median / the variant's, 95 % interval over repeats (Welch)."
    return table("Single-stream latency", heads, rows, note, group=0)


def throughput_table(findings: Findings) -> Table:
    rows = []
    for scenario in findings.study.scenarios:
        for variant in findings.study.variants:
            if (point := at(findings.points[variant, scenario], "throughput")) is None:
                continue
            against = findings.against.get((variant, scenario))
            gain = Td("baseline", "muted")
            if against:
                gain = Td(times(against.throughput))
            cells = (_value(point, m) for m in ("output_tok_per_s", "total_tok_per_s", "achieved_rps", "itl_ms_p50"))
            rows.append([scenario, _name(findings, variant), *cells, gain])
    heads = ["Scenario", "Variant", ">Output, tok/s", ">Output + prompt, tok/s", ">Requests/s", ">ITL p50, ms", ">Gain"]
    note = "All requests at once. Gain: output tok/s / the baseline's; an interval needs repeats (load.repeats)."
    return table("Throughput", heads, rows, note, group=0)


def other_loads_table(findings: Findings) -> Table:
    """Closed loops, ramps, replayed traces and capacity searches."""
    rows = []
    for scenario in findings.study.scenarios:
        for variant in findings.study.variants:
            for point in findings.points[variant, scenario]:
                if point.profile in ("single_stream", "throughput", "server"):
                    continue
                if point.profile == "capacity":
                    found = searched_capacity(point)
                    load = Td("capacity search", note=found.note if found else "INVALID")
                    shown = Td(rate(found) if found else NONE)
                else:
                    load = Td(point.point.text("", ", {} in flight"))
                    shown = _value(point, "achieved_rps")
                metrics = ("output_tok_per_s", "ttft_ms_p50", "ttft_ms_p99", "itl_ms_p50", "itl_ms_p99")
                rows.append([scenario, _name(findings, variant), load, shown, *(_value(point, m) for m in metrics)])
    heads = ["Scenario", "Variant", "Load", ">Requests/s", ">Output, tok/s", ">TTFT p50, ms", ">p99", ">ITL p50, ms"]
    note = "Requests/s of a capacity search: the highest rate that meets the SLO."
    return table("Other loads", [*heads, ">p99"], rows, note, group=0)


def lengths_table(findings: Findings) -> Table:
    """How long verbatim prompts and the answers to them came; empty where lengths were asked for."""
    rows = []
    for (variant, scenario), points in findings.points.items():
        for point in points if not findings.study.scenarios[scenario].prompt_tokens else ():
            if point.value("prompt_length_tokens_p50") is not None:
                parts = ("p50", "p90", "p99")
                lengths = [
                    number(point.value(f"{what}_length_tokens_{p}")) for what in ("prompt", "answer") for p in parts
                ]
                rows.append([scenario, _name(findings, variant), point.point.label, *lengths])
    heads = ["Scenario", "Variant", "Load", ">Prompt p50", ">p90", ">p99", ">Answer p50", ">p90", ">p99"]
    note = (
        "Tokens by the server's usage. Prompts are the same for every variant; an answer ends where its model ends it."
    )
    return table("Lengths of prompts and answers", heads, rows, note, group=0)


def speculation_table(findings: Findings) -> Table:
    """Acceptance and speed of speculative decoding; empty where no server told of any."""
    rows = []
    for (variant, scenario), points in findings.points.items():
        for point in points:
            if (rate := point.value("draft_acceptance_rate")) is not None:
                load = point.point.label
                length = number(point.value("tokens_per_draft"))
                drafted = point.value("drafted_share")
                share = NONE if drafted is None else f"{100 * drafted:.1f} %"
                state = ("", "") if point.valid else ("bad", "INVALID")
                accepted = Td(f"{100 * rate:.1f} %", *state)
                rows.append([scenario, _name(findings, variant), load, accepted, length, share])
    note = (
        "As the server counted them: draft tokens that the model accepted, tokens of a step that had drafts (1 + "
        "accepted / drafts), and accepted ones of all tokens. What is accepted depends on the text. The scenarios' "
        "prompts are cut from a corpus and answers are forced to their length: replay your own traffic (load.trace) "
        "before you decide."
    )
    heads = ["Scenario", "Variant", "Load", ">Drafts accepted", ">Tokens a drafted step", ">Of all tokens"]
    return table("Speculative decoding", heads, rows, note, group=0)


def ladder_table(findings: Findings, scenario: str, latency: str) -> Table:
    """The data behind a latency-against-rate figure; `latency`: itl_ms | ttft_ms | e2e_ms."""
    rows = []
    for variant in findings.study.variants:
        for point in ladder(findings.points[variant, scenario]):
            state = Td("valid") if point.valid else Td("invalid", "bad")
            if point.valid and not point.reached:
                state = Td("rate not reached", "warn")
            values = [_value(point, f"{latency}_{part}") for part in ("p50", "p90", "p95", "p99")]
            values[1:3] = [Td(value.text, value.tone) for value in values[1:3]]  # the figure has no bars of these
            rows.append(
                [
                    _name(findings, variant),
                    number(point.rate_rps),
                    number(point.served_rps),
                    *values,
                    len(point.runs),
                    state,
                ]
            )
    name = latency.removesuffix("_ms").upper()
    heads = ["Variant", ">Offered, 1/s", ">Served, 1/s", f">{name} p50, ms", ">p90", ">p95", ">p99", ">Runs", "State"]
    return table(f"{name} by request rate, {scenario}", heads, rows, group=0)


def front_table(findings: Findings, front: Front) -> Table:
    study, rows = findings.study, []
    kept = percent if front.quality == RECOVERY else times
    for variant, (x, y) in front.points.items():
        beaten = front.dominated.get(variant)
        state = Td("on the front", "good") if variant in front.front else Td("not on the front, not dominated", "muted")
        if beaten:
            state = Td("dominated by " + ", ".join(study.label(name) for name in beaten), "muted")
        base = variant == study.baseline
        rows.append([_name(findings, variant), "baseline" if base else kept(y), "" if base else times(x), state])
    for variant, bound in front.bounds.items():
        gain = bounded_ratio(bound.low, bound.high)
        rows.append([_name(findings, variant), kept(bound.quality), gain, Td("only a bound of the gain", "muted")])
    rows += [
        [_name(findings, v), Td(NONE, "muted"), Td(NONE, "muted"), Td(why, "warn")] for v, why in front.absent.items()
    ]
    title, head = ("Average recovery", "Recovery") if front.quality == RECOVERY else ("Perplexity", "Perplexity ratio")
    return table(f"{title} against {front.title}", ["Variant", f">{head}", ">Gain", "State"], rows)
