"""How long a plan is said to take: rules of thumb, what was measured before, and what is left of a run."""

import json
from dataclasses import replace

import pytest

from harness.config.workloads import CapacitySearch, LoadPoints, Scenario
from harness.records.phase import Phase, PhaseTime, phase_line, phase_lines
from harness.records.point import LoadPoint
from harness.sweeps.estimates import durations
from harness.sweeps.estimates.durations import Durations
from harness.sweeps.estimates.estimate import Estimates, finished
from harness.sweeps.estimates.load_rules import LONGER, load_s, replay_s
from harness.sweeps.estimates.pace import Pace, cpu_pace

PACE = Pace(suite_s=1, cell_s=0, prefill_s=0.001, step_s=0.01, slot_s=0.001, judgement_s=0.5, slots=10)
SCENARIO = Scenario(prompt_tokens=100, output_tokens=20)


def cell(key: str, rule_s: float = 10.0, variant: str = "bf16", **fields: str) -> Phase:
    known = {"group": "single_stream", "subject": "chat", "engine": "vllm", "model": "m", "machine": "here"}
    return Phase(kind="load", key=key, session=variant, variant=variant, rule_s=rule_s, **{**known, **fields})


def test_a_replay_ends_with_its_last_answer():
    arrivals = [(0.0, 100, 16), (5.0, 100, 4000), (10.0, 100, 16)]
    assert replay_s(arrivals, PACE) == pytest.approx(5 + 0.1 + 4000 * 0.011)


def test_a_replay_that_the_server_cannot_follow_takes_as_long_as_its_work():
    arrivals = [(0.001 * number, 100, 20) for number in range(1000)]
    assert replay_s(arrivals, PACE) == pytest.approx(1000 * PACE.work_s(100, 20))
    assert PACE.work_s(100, 20) == pytest.approx(0.1 + 20 * (0.01 / 10 + 0.001))


def test_a_rate_above_what_the_server_does_takes_as_long_as_its_work():
    load, point = LoadPoints(), LoadPoint("server", 1.0, 100)
    waiting = load_s(SCENARIO, point, load, PACE)
    overloaded = load_s(SCENARIO, replace(point, rate_rps=1000.0), load, PACE)
    assert waiting == pytest.approx(100 / 1.0 + 0.1 + 0.22 + 100 * 0.002)
    assert overloaded == pytest.approx(100 * 0.14 + 0.1 + 0.22 + 100 * 0.002)
    cut_off = load_s(SCENARIO, point, LoadPoints(cell_timeout_s=30.0), PACE)
    assert cut_off == pytest.approx(30 + 100 * 0.002)


def test_probes_of_a_search_last_as_long_as_their_requests_need():
    """A probe of 200 requests at 7/s, which is what the server does, takes 28 s although duration_s is 1; some more."""
    load = LoadPoints(capacity=CapacitySearch(probes=5, requests=200, duration_s=1.0, max_rps=100.0))
    seconds = load_s(SCENARIO, LoadPoint("capacity", None, 200), load, PACE)
    answer_s = 0.1 + 0.22
    assert seconds == pytest.approx(200 * 0.002 + 64 * 0.14 + answer_s + 5 * (LONGER * 200 * 0.14 + answer_s))


def test_single_streams_wait_for_each_other():
    point = LoadPoint("single_stream", None, 5, concurrency=1)
    assert load_s(SCENARIO, point, LoadPoints(), PACE) == pytest.approx(5 * (0.1 + 20 * 0.011) + 5 * 0.002)


def test_a_cpu_is_as_fast_as_its_instruction_sets():
    """Measured with SmolLM2-135M on two cores: 12 prompts of about 256 tokens, 8 answered tokens each."""
    amx, avx512, avx2 = (
        cpu_pace(135e6, 2, frozenset(flags)).closed_s(12, 264, 8, 12)
        for flags in (["avx2", "avx512f", "avx512_bf16", "amx_bf16"], ["avx2", "avx512f"], ["avx2"])
    )
    assert amx == pytest.approx(2.64, rel=0.25)
    assert avx2 == pytest.approx(14, rel=0.25)
    assert amx < avx512 < avx2
    assert cpu_pace(135e6, 8, frozenset(["avx2"])).prefill_s == pytest.approx(
        cpu_pace(135e6, 2, frozenset(["avx2"])).prefill_s / 4
    )


def test_what_was_measured_counts_the_more_alike_the_more():
    known = Durations()
    assert known.learned(cell("a")) is None
    known.add(cell("a", subject="rag"), 30.0)
    assert known.learned(cell("a")).ratio == 3.0  # another scenario at the same kind of load point
    known.add(cell("a"), 20.0)
    assert known.learned(cell("b", variant="int4")).ratio == 2.0  # another variant
    known.add(cell("b", variant="int4"), 50.0)
    assert known.learned(cell("b", variant="int4")).ratio == 5.0
    assert known.learned(cell("b", group="server")) is None
    assert known.learned(cell("b", engine="sglang")) is None


def test_a_slow_variant_is_slow_in_what_it_has_not_run_yet():
    known = Durations()
    for subject, seconds in (("chat", 10.0), ("rag", 20.0)):
        known.add(cell(subject, subject=subject), seconds)
    known.add(cell("chat", subject="chat", variant="fp8"), 30.0)
    assert known.learned(cell("rag", subject="rag", variant="fp8")).ratio == pytest.approx(2 * 3)
    assert known.learned(cell("rag", subject="rag", variant="int8")).ratio == pytest.approx(2)


def test_work_that_grew_is_estimated_longer():
    known = Durations()
    known.add(cell("a", rule_s=10), 20.0)
    assert Estimates([cell("a", rule_s=30)], known).total_s == 60


def test_the_time_left_corrects_itself():
    """A machine that is twice as slow as it was is seen after the first cells, and what is left doubles."""
    known = Durations()
    names = [f"s{number}" for number in range(20)]
    for name in names * 5:
        known.add(cell(name, subject=name), 10.0)
    estimates = Estimates([cell(name, subject=name) for name in names], known)
    assert estimates.total_s == estimates.left_s() == 200
    for name in names[:10]:
        estimates.took(name, 20.0)
    assert estimates.left_s() == pytest.approx(200)
    for name in names[10:]:
        estimates.took(name, 20.0)
    assert estimates.left_s() == 0


def test_a_session_whose_cells_failed_leaves_nothing_to_wait_for():
    start = Phase(kind="engine start", key="engine start int4", session="int4", rule_s=60)
    report = Phase(kind="report", key="report", rule_s=5)
    estimates = Estimates([start, cell("a", variant="int4"), report], Durations())
    assert estimates.left_s() == 75
    estimates.dropped("a")
    assert estimates.left_s() == 5


def test_an_estimate_says_what_it_rests_on():
    known = Durations()
    guess = Estimates([cell("a")], known, "for 2 CPU cores with AMX")
    assert guess.basis == "rules of thumb for 2 CPU cores with AMX: no earlier measurement on this machine"
    known.add(cell("a"), 10.0)
    install = Phase(kind="environment", key="environment vllm", rule_s=120)
    assert Estimates([cell("a")], known).basis == "earlier measurements of this machine for all 1 cells"
    mixed = Estimates([install, cell("a"), cell("b", group="server")], known, "for 2 CPU cores")
    assert mixed.basis == (
        "earlier measurements of this machine for 1 of 2 cells; rules of thumb for 2 CPU cores for the other cells, "
        "environments"
    )


def test_durations_are_kept_without_names_of_sessions(tmp_path):
    taken = finished(replace(cell("bf16/chat"), session="bf16@/home/me/model"), 12.0, 10.0)
    durations.note(tmp_path, taken)
    durations.note(tmp_path, replace(taken, machine="elsewhere"))
    (found,) = durations.read(tmp_path, "here")
    assert found.seconds == 12 and found.estimated_s == 10 and found.subject == "chat"
    assert "/home/me" not in (tmp_path / durations.FILE).read_text()


def test_a_damaged_line_is_left_out(tmp_path):
    good = phase_line(finished(cell("a"), 12.0, 10.0))
    wrong = json.dumps(json.loads(good) | {"seconds": "long"})
    text = "\n".join([good.strip(), good[:40], "", "[1]", "\0" * 9, wrong, "[" * 99999])
    (tmp_path / durations.FILE).write_text(text)
    assert len(durations.read(tmp_path, "here")) == 1
    assert durations.read(tmp_path / "missing", "here") == []


def test_durations_of_other_rules_do_not_count(tmp_path):
    old = replace(finished(cell("a"), 12.0, 10.0), rules=0)
    durations.note(tmp_path, old)
    assert durations.read(tmp_path, "here") == []


def test_the_file_stays_small(tmp_path, monkeypatch):
    monkeypatch.setattr(durations, "LARGEST_BYTES", 5000)
    monkeypatch.setattr(durations, "KEPT_LINES", 3)
    for number in range(40):
        durations.note(tmp_path, replace(finished(cell("a"), 1.0 + number, 10.0)))
    found = durations.read(tmp_path, "here")
    assert found[-1].seconds == 40 and len(found) < 40
    assert (tmp_path / durations.FILE).stat().st_size <= 5000


def test_a_phase_is_stored_as_it_was():
    taken = finished(cell("a", rule_s=3), 12.0, 10.0)
    assert list(phase_lines([phase_line(taken)])) == [taken]
    assert isinstance(taken, PhaseTime)
