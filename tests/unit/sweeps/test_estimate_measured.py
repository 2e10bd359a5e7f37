"""Estimates against a quickstart that was measured (tests/fixtures/durations)."""

import json
from collections import defaultdict
from pathlib import Path

import pytest

from harness.machine import host
from harness.records.phase import CHECKPOINT, ENVIRONMENT, START, Phase
from harness.records.store import Store
from harness.sweeps.composing import compose
from harness.sweeps.estimates.durations import Durations
from harness.sweeps.estimates.estimate import Estimates, estimates
from harness.sweeps.estimates.phases import IMPORT
from harness.sweeps.plan import build_plan
from harness.sweeps.prepare import prepare

MEASURED = json.loads((Path(__file__).parents[2] / "fixtures" / "durations" / "quickstart_amx.json").read_text())
AMX = frozenset(["avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8"])
SWEEP = ("+sweep=quickstart", "variant=[bf16,fp8_dynamic,int8_w8a8]")


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Estimates:
    """The estimate of a run from nothing on two AMX cores."""
    folder = tmp_path_factory.mktemp("nothing")
    facts = {**host.facts(), "cores": 2, "gpus": []}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(host, "facts", lambda: facts)
        patch.setattr(host, "cpu_flags", lambda: AMX)
        prepared = prepare(compose.compose_sweep([*SWEEP, f"cache_dir={folder}", f"results_dir={folder}"]))
        return estimates(prepared, build_plan(prepared), Store(folder / "results"), Durations())


def taken_s(phase: Phase) -> float | None:
    """Seconds that the phase took; None for one that was not measured as it is planned."""
    if phase.kind == ENVIRONMENT:
        return MEASURED["preparation"].get(phase.key)
    if phase.kind == CHECKPOINT:
        name = IMPORT if phase.group == IMPORT else f"compress {phase.session}"
        return MEASURED["preparation"][name]
    return MEASURED[START].get(phase.variant) if phase.kind == START else MEASURED["cells"].get(phase.key)


def test_rules_of_thumb_estimate_a_quickstart_within_a_quarter(expected):
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for phase in expected.ahead.values():
        if (seconds := taken_s(phase)) is not None:
            for name in (phase.kind, "all"):
                sums[name][0] += phase.rule_s
                sums[name][1] += seconds
    ratios = {name: estimated / taken for name, (estimated, taken) in sums.items()}
    assert 0.75 <= ratios["all"] <= 1.25, ratios
    assert all(0.6 <= ratio <= 1.6 for ratio in ratios.values()), ratios
    assert sum(phase.key in MEASURED["cells"] for phase in expected.ahead.values()) == len(MEASURED["cells"])


def test_a_second_variant_is_estimated_from_the_first(expected):
    """INT8 from BF16 and FP8: half as long again at most, before INT8 has run anything."""
    known, sums = Durations(), defaultdict(lambda: [0.0, 0.0])
    cells = [phase for phase in expected.ahead.values() if phase.key in MEASURED["cells"]]
    for phase in cells:
        if phase.variant != "int8_w8a8":
            known.add(phase, MEASURED["cells"][phase.key])
    before = Estimates([phase for phase in cells if phase.variant == "int8_w8a8"], known)
    for phase in before.ahead.values():
        for name in (phase.group or phase.kind, "all"):
            sums[name][0] += before.seconds(phase)
            sums[name][1] += MEASURED["cells"][phase.key]
    ratios = {name: estimated / taken for name, (estimated, taken) in sums.items()}
    assert 0.7 <= ratios["all"] <= 1.5, ratios


def test_a_repeated_run_is_estimated_from_the_last(expected):
    known = Durations()
    cells = [phase for phase in expected.ahead.values() if phase.key in MEASURED["cells"]]
    for phase in cells:
        known.add(phase, MEASURED["cells"][phase.key])
    again = Estimates(cells, known)
    assert again.total_s == pytest.approx(sum(MEASURED["cells"].values()), rel=0.05)
    assert again.basis == "earlier measurements of this machine for all 84 cells"
