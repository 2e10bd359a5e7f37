"""`harness ab`: the order of its starts, and what it runs and compares."""

import sys

import pytest

from harness.sweeps import ab


def test_starts_alternate_so_that_a_drift_is_on_both_sides_alike():
    order = [side for _, side in ab.turns(4)]
    assert order == list("abbaabba")
    places = {side: [place for place, s in enumerate(order) if s == side] for side in "ab"}
    assert sum(places["a"]) == sum(places["b"])
    assert ab.turns(2) == [(1, "a"), (1, "b"), (2, "b"), (2, "a")]


@pytest.fixture
def call(monkeypatch, capsys, tmp_path):
    ran, compared = [], []

    def run(command):
        ran.append(command[3:])
        return 1 if "seed=13" in command else 0

    def record(arguments, command):
        compared.append((arguments.folders, arguments.candidate))
        return 0

    monkeypatch.setattr(ab, "run", run)
    monkeypatch.setattr(ab, "compare", record)

    def with_words(*words):
        monkeypatch.setattr(sys, "argv", ["ab", *words, "--out", str(tmp_path)])
        return ab.main(), ran, compared, capsys.readouterr().err

    return with_words


def test_each_start_is_a_run_into_a_folder_of_its_own(call, tmp_path):
    words = ("quickstart", "quickstart engine.efficiency=0.93", "--starts", "2", "engine=simulated", "seed=3")
    code, ran, [(reference, candidate)], _ = call(*words, "--max-itl-regression", "0.05")
    assert code == 0
    assert ran[1][:4] == ["+sweep=quickstart", "engine.efficiency=0.93", "engine=simulated", "seed=3"]
    assert [words[-2] for words in ran] == [f"results_dir={tmp_path}/{name}" for name in ("a_1", "b_1", "b_2", "a_2")]
    assert reference == [f"{tmp_path}/a_{n}/quickstart" for n in (1, 2)]
    assert candidate == [f"{tmp_path}/b_{n}/quickstart" for n in (1, 2)]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("quickstart", "quickstart", "--starts", "1"), 2, "at least 2 of each"),
        (("quickstart", ""), 2, "name a sweep"),
        (("quickstart", "quickstat"), 2, "quickstat"),
        (("quickstart", "quickstart seed=13", "engine=simulated"), 1, "start b_1 ended with exit code 1"),
    ],
)
def test_mistakes_and_failed_runs_are_said_and_nothing_is_compared(call, words, code, message):
    got, _, compared, err = call(*words)
    assert (got, compared) == (code, []) and message in err
