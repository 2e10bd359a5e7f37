"""Tables of a model card: what was compared, its scores and recovery, and how they were measured."""

import re
from collections import Counter
from typing import Any

from harness.analysis import Findings
from harness.analysis.quality.accuracy import SuiteResult
from harness.analysis.quality.judge import WinRate
from harness.analysis.study import Study
from harness.analysis.validity import engines
from harness.report.tables.overview import POCKET
from harness.report.tables.table import Table, Td, name_of, table
from harness.report.words import NONE, percent, size

SETTINGS = (  # of a suite, that decide its score
    *("fewshot", "chat_template", "max_tokens", "temperature", "top_p", "samples", "k", "window", "metric", "add_bos"),
)


def origin(result: SuiteResult | WinRate) -> str:
    """hub | mirror | pocket: where the items came from."""
    return re.split("[ /]", result.source, maxsplit=1)[0]


def suite_label(result: SuiteResult | WinRate) -> str:
    """``pocket mmlu``: the project's own items do not go by a benchmark's name."""
    return f"pocket {result.suite}" if origin(result) == POCKET else result.suite


def subset(result: SuiteResult | WinRate) -> list[str]:
    return [f"subset: {result.items:,} of {result.population:,} items"] if result.partial else []


def evaluation_table(findings: Findings, names: tuple[str, ...]) -> Table:
    """Benchmark, the baseline, and each variant with its recovery."""
    study, rows = findings.study, []
    for suite in study.suites:
        base = findings.suites.get((study.baseline, suite))
        known: SuiteResult | WinRate | None = next(
            (
                found
                for name in (study.baseline, *names)
                if (found := findings.suites.get((name, suite)) or findings.win_rates.get((name, suite)))
            ),
            None,
        )
        facts = [base.metric if base else "", *subset(known)] if known else []
        row: list[Any] = [
            Td(suite_label(known) if known else suite, note=", ".join(filter(None, facts))),
            percent(base.score if base and base.valid else None),
        ]
        for name in names:
            result, rate = findings.suites.get((name, suite)), findings.win_rates.get((name, suite))
            score = result.score if result and result.valid else rate.win_rate if rate else None
            kept = result.comparison.recovery if result and result.comparison else None
            row += [
                Td(percent(score), note=f"win rate against {rate.reference}" if rate and score else ""),
                percent(kept),
            ]
        if any((td.text if isinstance(td, Td) else td) != NONE for td in row[1:]):
            rows.append(row)
    averages = [cell for name in names for cell in ("", percent(findings.averages[name].recovery))]
    rows.append([Td("average recovery"), "", *averages])
    heads = ["Benchmark", f">{study.label(study.baseline)}"]
    for name in names:
        heads += [f">{study.label(name)}", ">Recovery"]
    note = "Brackets: 95 % intervals; of recovery, paired over the same items."
    if study.data == POCKET:
        note += " Pocket suites have their own items: their scores are not those of the benchmarks."
    return table("Evaluation", heads, rows, note)


def checkpoints_table(findings: Findings, names: list[str]) -> Table:
    """Formats and weights of the baseline and the variants."""
    study = findings.study
    digests: dict[str, str] = {}
    for measured in study.measured:
        served = measured.engine.checkpoint
        if served and (known := served.revision or served.digest):
            digests.setdefault(measured.cell.variant, known)
    rows = []
    for name in names:
        v = study.variants[name]
        activations = "; ".join(
            filter(None, (v.activations or NONE, v.sparsity, v.kv_cache and f"KV cache {v.kv_cache}"))
        )
        where, digest = Td(v.checkpoint or NONE, "code"), Td(digests.get(name, NONE)[:16], "code")
        rows.append([name_of(study, name), v.weights or NONE, activations, size(v.checkpoint_bytes), where, digest])
    heads = ["Variant", "Weights", "Activations", ">Size", "Checkpoint", "Commit or digest"]
    return table("Checkpoints", heads, rows)


def setup_table(findings: Findings, names: list[str]) -> Table:
    """What measured it: engine, hardware, dates, sampling."""
    study = findings.study
    served = engines(study)
    labels = dict.fromkeys(measured.engine.label for name in names for measured in served.get(name, ()))
    days = sorted(measured.started_at[:10] for measured in study.measured if measured.started_at)
    rows = [["engine", ", ".join(labels) or NONE], ["hardware", hardware(study)]]
    rows += [["measured", days[0] if days[0] == days[-1] else f"{days[0]} to {days[-1]}"]] if days else []
    rows += [["harness", study.harness], ["seed", str(study.seed)]]
    rows += [["sampling", sampling(study)]] if study.suites else []
    rows += [["load", "greedy, each answer as long as its scenario says; the same prompts for every variant"]]
    return table("Setup", ["Fact", "Value"], rows if study.scenarios else rows[:-1])


def hardware(study: Study) -> str:
    """``4 × NVIDIA H100 80GB HBM3 (driver 550.54)``; without a GPU the CPU and its cores."""
    host = study.host
    if not host.gpus:
        return f"{host.cpu or 'unknown CPU'}{f', {host.cores} cores' if host.cores else ''}, no GPU"
    counted = Counter((gpu.name, gpu.driver) for gpu in host.gpus)
    return ", ".join(f"{n} × {name}{f' (driver {driver})' if driver else ''}" for (name, driver), n in counted.items())


def sampling(study: Study) -> str:
    configured = study.config.get("suites") or {}
    hot = [name for name in study.suites if (configured.get(name) or {}).get("temperature")]
    greedy = "greedy (temperature 0)"
    return greedy if not hot else f"{greedy}; see the suites for {', '.join(hot)}"


def suites_table(findings: Findings) -> Table:
    """Each suite's items and settings."""
    study, rows = findings.study, []
    configured = study.config.get("suites") or {}
    for suite in study.suites:
        found = findings.suites.get((study.baseline, suite)) or next(
            (result for (_, name), result in findings.suites.items() if name == suite), None
        )
        settings = configured.get(suite) or {}
        said = ", ".join(f"{key} {_plain(settings[key])}" for key in SETTINGS if settings.get(key) not in (None, False))
        items = f"{found.items:,}{f' of {found.population:,}' if found.population else ''}" if found else NONE
        rows.append([suite_label(found) if found else suite, items, found.source if found else NONE, said or NONE])
    return table("Suites", ["Suite", ">Items", "Data", "Settings"], rows)


def _plain(value: Any) -> str:
    return "yes" if value is True else ", ".join(map(str, value)) if isinstance(value, list) else str(value)
