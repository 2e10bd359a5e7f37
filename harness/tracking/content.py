"""What a run says beside its metrics: ten parameters, the data with their digests, the plan, a summary in Markdown."""

import json
import re

from harness.analysis import Findings, Study
from harness.analysis.study import Measured
from harness.records.cell import Cell
from harness.records.fields import Json
from harness.records.host_facts import HostFacts
from harness.report.files.markdown import markdown
from harness.report.files.notes import release_notes
from harness.report.recommendation import conclusion
from harness.report.sections import fill
from harness.report.verdicts import verdicts

DESCRIPTION_CHARS = 7500  # the server refuses a tag of more than 8000
PARAM_CHARS = 500
DIGEST_CHARS = 36  # of a dataset in MLflow; the whole digest is in its source


def sweep_params(study: Study) -> dict[str, str]:
    return _texts(
        {
            "baseline": study.baseline,
            "data": study.data,
            "engine": engine_text(study.measured),
            "hardware": hardware_text(study.host),
            "harness": study.harness,
            "margin": study.margin,
            "rates_rps": ", ".join(f"{rate:g}" for rate in _rates(study)),
            "scenarios": ", ".join(study.scenarios),
            "seed": study.seed,
            "suites": ", ".join(study.suites),
        }
    )


def decision_tags(findings: Findings) -> dict[str, str]:
    """``{"harness.outcome": "ship", "harness.recommendation": "Ship ..."}``; empty where nothing is compared."""
    found, said = findings.recommendation, conclusion(findings)
    return {"harness.outcome": found.outcome, "harness.recommendation": said.headline} if found and said else {}


def variant_params(study: Study, name: str) -> dict[str, str]:
    variant = study.variants[name]
    own = [m for m in study.measured if m.cell.variant == name and m.cell.answered_by_variant]
    ran = dict.fromkeys(k.kernel + (" (emulated)" if k.emulated else "") for m in own for k in m.engine.kernels)
    schemes = [(name, logged.layers) for m in own for name, logged in m.engine.schemes.items()]
    named = dict.fromkeys(f"{name}: {layers} layers" for name, layers in schemes)
    return _texts(
        {
            "activations": variant.activations,
            "baseline": study.baseline,
            "checkpoint": variant.checkpoint,
            "checkpoint_bytes": variant.checkpoint_bytes,
            "data": study.data,
            "deployment": ", ".join(f"{axis} {value}" for axis, value in variant.deployment.items()),
            "engine": engine_text(own),
            "hardware": hardware_text(study.host),
            "kernels": ", ".join(ran),
            "schemes": ", ".join(named),
            "sparsity": variant.sparsity or "none",
            "weights": variant.weights,
        }
    )


def _texts(params: dict[str, object]) -> dict[str, str]:
    return {key: str(value)[:PARAM_CHARS] for key, value in params.items() if value not in (None, "")}


def _rates(study: Study) -> list[float]:
    points = (m.cell.point for m in study.measured)
    return sorted({p.rate_rps for p in points if p and p.profile == "server" and p.rate_rps is not None})


def engine_text(measured: tuple[Measured, ...] | list[Measured]) -> str:
    """``vllm 0.32.0``; the judge's engine is not asked."""
    engines = (m.engine for m in measured if m.cell.answered_by_variant and m.engine.recorded)
    return ", ".join(sorted({engine.label for engine in engines}))


def hardware_text(host: HostFacts) -> str:
    """``2 x NVIDIA H100``, else the CPU and its cores."""
    names = [gpu.name or "GPU" for gpu in host.gpus or ()]
    if names:
        return ", ".join(f"{names.count(name)} x {name}" for name in dict.fromkeys(names))
    cores = f", {host.cores} cores" if host.cores else ""
    return f"{host.cpu or 'unknown hardware'}{cores}"


def datasets(study: Study, variant: str | None = None) -> dict[tuple[str, str], dict[str, str]]:
    """By (name, digest): source_type, source and context of the suites' data and the scenarios' texts."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for measured in study.measured:
        if variant is not None and measured.cell.variant != variant:
            continue
        if measured.cell.suite and (data := measured.scored.data):
            name, context, source = data.name or measured.cell.suite, "evaluation", data.to_json()
        elif corpus := measured.traffic.get("corpus"):
            name, context = f"text of {measured.cell.scenario}", "load"
            source = {"source": "corpus", "name": measured.cell.scenario, "digest": corpus}
        else:
            continue
        if digest := source["digest"]:
            short = digest.removeprefix("sha256:")[:DIGEST_CHARS]
            text = json.dumps(source, ensure_ascii=False, sort_keys=True)
            found[name[:PARAM_CHARS], short] = {
                "source_type": source["source"] or "local", "source": text, "context": context
            }  # fmt: skip
    return found


def plan(study: Study) -> Json:
    """Every planned cell with what became of it, the command and the resolved configuration."""
    cells = [_planned(m.cell, "measured" if m.valid else "invalid") for m in study.measured]
    cells += [_planned(f.cell, "failed") for f in study.failures if f.cell]
    cells += [_planned(cell, "missing") for cell in study.missing]
    return {"sweep": study.name, "command": study.command, "cells": cells, "config": study.config}


def _planned(cell: Cell, state: str) -> Json:
    return {"key": cell.key, "what": cell.title, "kind": cell.kind, "fingerprint": cell.fingerprint, "state": state}


def plan_text(study: Study) -> str:
    """The same to read: the command, then a line a cell."""
    cells = plan(study)["cells"]
    lines = [f"{study.name}: {len(cells)} cells", study.command, ""]
    return "\n".join([*lines, *(f"{c['state']:<9} {c['fingerprint'] or '':<17} {c['what']}" for c in cells)]) + "\n"


def sweep_note(findings: Findings, link: str | None, trend: str | None = None) -> str:
    """The release notes without their pictures, as far as MLflow takes them, beneath the ways to the comparison and to
    the trend over all measurements of the sweep."""
    head = f"[Compare the variants]({link}) (figures of the whole sweep; the eye beside a run hides it)\n\n"
    head += f"[Trend over measurements]({trend})\n\n" if trend else ""
    notes = release_notes(findings, fill(findings), pictures=False)
    notes = re.sub(r"^\s*(!\[|<(img|picture|source|/?p\b)).*\n?", "", notes, flags=re.MULTILINE)
    notes = re.sub(r"(?<!\\)\[(?=[-+\d])", r"\\[", notes)  # else "[1.30, 1.32] | 1.52 (...)" is a link in MLflow
    return shortened((head if link else "") + notes)


def variant_note(findings: Findings, name: str) -> str:
    texts = [markdown(verdict.text) for verdict in verdicts(findings) if verdict.variant == name] or ["The baseline."]
    texts += [f"**{mark.word}** {markdown(mark.reason)}" for mark in findings.marks]
    return shortened("\n\n".join(texts))


def history_note(findings: Findings) -> str:
    marks = [f"**{mark.word}** {markdown(mark.reason)}" for mark in findings.marks if mark.word == "SIMULATED"]
    return "\n\n".join(["Each point is a measurement of the sweep, at the moment it was measured.", *marks])


def shortened(text: str) -> str:
    """Whole lines, up to what MLflow takes."""
    if len(text) <= DESCRIPTION_CHARS:
        return text
    return text[:DESCRIPTION_CHARS].rsplit("\n", 1)[0] + "\n\nThe whole is in the artifacts, report/release_notes.md."
