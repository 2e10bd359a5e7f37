"""python -m harness.compare as a user calls it: exit codes, gates, mistakes, files."""

import json
import subprocess
import sys

import pytest

from harness.compare.__main__ import main
from tests.unit.compare.nights import night
from tests.unit.compare.two_sweeps import FEW, store

pytestmark = pytest.mark.slow


def flagged(prefix, level="invalid", code="client_lag"):
    def change(_manifest, records, _rows):
        for record in records:
            if record["cell"]["key"].startswith(prefix):
                record["flags"].append({"code": code, "level": level, "message": "late"})

    return change


@pytest.fixture(scope="module")
def sweeps(tmp_path_factory):
    """old: three repeats; new: the same, 8 % slower between tokens; once: a single run of each load point; night_1 to
    night_5, and tonight, the same, and slow, 8 % slower."""
    root = tmp_path_factory.mktemp("results")
    for number in range(1, 6):
        night(root / f"night_{number}", number)
    night(root / "tonight", 6)
    night(root / "slow", 7, slower=1.08)
    store(root / "old", repeats=3)
    store(root / "new", "0.33.0", itl=1.08, repeats=3)
    store(root / "once")
    return root


@pytest.fixture
def run(monkeypatch, capsys):
    def call(*words):
        monkeypatch.setattr(sys, "argv", ["compare", *map(str, words)])
        try:
            code = main()
        except SystemExit as exit:
            code = exit.code
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_two_sweeps_compare_every_variant_with_its_namesake_and_say_what_differs(run, sweeps):
    code, out, _ = run(sweeps / "old", sweeps / "new")
    assert code == 0
    assert "old:bf16\n" in out and "new:fp8\n" in out
    assert "engine  vllm 0.32.0  vllm 0.33.0" in out
    assert out.startswith("No regression is established") or out.startswith("B measured slower")
    assert out.index("B relative to A") < out.index("What differs") < out.index("\nAccuracy\n")


@pytest.fixture(scope="module")
def nights(sweeps):
    return [sweeps / f"night_{number}" for number in range(1, 6)]


def fp8(folders):
    return [f"{folder}:fp8" for folder in folders]


def test_a_regression_that_the_starts_show_fails_with_exit_code_3(run, sweeps, nights):
    words = (*fp8(nights), sweeps / "slow")
    code, out, _ = run(*words, "--max-itl-regression", "0.05")
    assert code == 3
    assert "FAILED: 6 of 6 checks failed" in out, "five load points, and all together"
    assert run(*words, "--max-itl-regression", "0.20")[0] == 0
    assert run(*fp8(nights), sweeps / "tonight", "--max-itl-regression", "p99=0.05", "--percentile", "p90")[0] == 0


def test_a_gate_says_what_it_is_able_to_find(run, sweeps, nights):
    words = (*fp8(nights), sweeps / "tonight", "--max-itl-regression", "0.05", "--max-itl-regression", "p99=0.05")
    code, out, _ = run(*words, "--min-throughput-ratio", "0.95", "--power-at", "0.1")
    assert code == 0
    for metric, change in (("itl_ms_p50", "+10 %"), ("itl_ms_p99", "+10 %"), ("output_tok_per_s", "−10 %")):
        assert f"{metric}: a true {change} is found in " in out
    assert "% is found in 90 %" in out and "starts differ by" in out


@pytest.mark.parametrize("folders", [("once",), ("old",), ("night_1", "night_2")])
def test_a_speed_gate_without_enough_starts_is_refused_with_what_is_missing(run, sweeps, folders):
    """Repeats share a start: however many there are, they do not tell how the next start differs."""
    words = [sweeps / name for name in (*folders, "new")]
    code, out, _ = run(*words, "--max-itl-regression", "p99=0.05", "--max-ttft-regression", "p99=0.05")
    assert code == 4 and "20 of 20 checks lack what they need" in out, "two variants, two latencies, five load points"
    assert "harness compare results/night_* results/tonight" in out and "harness ab" in out


def test_a_glob_that_names_tonight_too_leaves_it_out_of_the_reference(run, sweeps, nights):
    code, out, _ = run(*nights, sweeps / "slow", sweeps / "slow", "--max-itl-regression", "0.05")
    assert code == 3 and "5 and 1 start" in out


def test_starts_of_b_may_be_several(run, sweeps, nights):
    code, out, _ = run(*nights[:3], "--candidate", *nights[3:], sweeps / "tonight", "--max-itl-regression", "0.05")
    assert code == 0 and "3 and 3 starts" in out


def test_the_same_night_twice_is_a_mistake(run, sweeps, nights, tmp_path):
    import shutil

    copied = shutil.copytree(nights[0], tmp_path / "copy")
    code, _, err = run(*nights, copied, sweeps / "tonight", "--max-itl-regression", "0.05")
    assert code == 2 and "hold the same records" in err


def test_a_suite_on_which_both_score_nothing_is_a_note(run, tmp_path):
    def change(_manifest, records, rows):
        for record in (r for r in records if r["cell"].get("suite") == "gsm8k"):
            for row in rows[record["cell"]["key"]]:
                row["scores"] = dict.fromkeys(row["scores"], 0.0)

    a, b = (store(tmp_path / name, change=change) for name in "ab")
    code, out, _ = run(f"{a}:fp8", b, "--min-recovery", "0.9", "--strict")
    assert code == 0 and "A and B scored nothing: not counted" in out
    assert "none of 3 checks failed" in out, "the average, mmlu and humaneval"


def test_an_interval_across_the_limit_is_inconclusive_and_fails_only_when_strict(run, sweeps):
    words = (sweeps / "once:bf16", sweeps / "once:fp8", "--min-recovery", "0.99")
    code, out, _ = run(*words)
    assert code == 0 and "inconclusive" in out
    assert run(*words, "--strict")[0] == 3


def test_without_an_interval_no_value_decides_and_strict_does_not_take_it(run, sweeps):
    words = ("--results", sweeps / "once", "bf16", "fp8", "--max-itl-regression", "0.05")
    code, out, _ = run(*words)
    assert code == 4 and "n = 1 start of A and 1 of B, no CI" in out
    assert run(*words, "--strict")[0] == 4
    assert run("--results", sweeps / "once", "fp8", "bf16", "--max-itl-regression", "0.05")[0] == 4


def test_rows_say_what_they_count_as(run, sweeps):
    words = (sweeps / "once:bf16", sweeps / "once:fp8", "--min-recovery", "0.99")
    assert "pass (failure with --strict)" in run(*words)[1]
    assert "failure (--strict)" in run(*words, "--strict")[1]


def test_a_gate_that_nothing_can_be_checked_by_fails(run, sweeps, tmp_path):
    slow = store(tmp_path / "accuracy_only", change=lambda m, r, _: [x for x in r if x["cell"]["kind"] != "load"])
    manifest = json.loads((slow / "sweep.json").read_text())
    manifest["cells"] = [cell for cell in manifest["cells"] if cell["kind"] != "load"]
    manifest["scenarios"] = {}
    (slow / "sweep.json").write_text(json.dumps(manifest))
    code, out, _ = run(sweeps / "once:fp8", slow, "--max-itl-regression", "0.5")
    assert code == 3
    assert "NOT EVALUATED" in out and "nothing that both sides have can be compared" in out
    assert "scenario chat_512_256: only in A" in out


@pytest.mark.parametrize("missing", ["invalid", "gone"])
def test_a_point_that_only_a_has_although_b_planned_it_is_no_silent_pass(run, sweeps, tmp_path, missing):
    key = "load-fp8-chat_512_256-server-4.0"
    drop = lambda _m, records, _r: [r for r in records if not r["cell"]["key"].startswith(key)]  # noqa: E731
    other = store(tmp_path / "b", change=flagged(key) if missing == "invalid" else drop)
    code, out, _ = run(sweeps / "once:fp8", other, "--max-itl-regression", "0.5")
    assert code == 3
    assert ("invalid in B (client_lag)" if missing == "invalid" else "failed or missing in B") in out


def test_an_invalid_point_of_the_reference_is_not_compared_and_said(run, sweeps, tmp_path):
    other = store(tmp_path / "a", change=flagged("load-fp8-chat_512_256-server-4.0"))
    code, out, _ = run(f"{other}:fp8", sweeps / "once", "--max-itl-regression", "0.5")
    assert code == 4, "of one start each"
    assert "server 4/s, itl_ms_p50" not in out
    assert "chat_512_256, server 4/s: invalid in A (client_lag)" in out


def test_items_that_were_asked_in_other_words_are_not_paired(run, sweeps, tmp_path):
    def change(_manifest, _records, rows):
        for row in rows["accuracy-fp8-mmlu"]:
            row["prompt_hash"] += "x"

    code, out, _ = run(sweeps / "once:fp8", store(tmp_path / "b", change=change), "--min-recovery", "0.5")
    assert code == 3
    assert "items were not asked in the same words" in out


def test_other_traffic_is_not_compared(run, sweeps, tmp_path):
    def arrivals(kind):
        def change(manifest, records, _rows):
            for cell in [*manifest["cells"], *(record["cell"] for record in records)]:
                if cell["kind"] == "load":
                    cell["point"]["arrivals"] = kind

        return change

    a, b = (store(tmp_path / kind, change=arrivals(kind)) for kind in ("poisson", "constant"))
    code, out, _ = run(f"{a}:fp8", b, "--max-itl-regression", "0.5")
    assert code == 3
    assert "chat_512_256, server 4/s: the traffic differs (arrivals)" in out


def test_a_copy_of_a_sweep_is_called_one(run, sweeps, tmp_path):
    import shutil

    copied = shutil.copytree(sweeps / "once", tmp_path / "copy")
    assert "the same records" in run(sweeps / "once:fp8", copied)[1]


def test_mistakes_are_explained_with_exit_code_2(run, sweeps, tmp_path):
    once = sweeps / "once"
    empty = store(tmp_path / "empty", change=lambda _m, _r, _rows: [])
    (tmp_path / "folder").mkdir()
    cases = {
        (once, sweeps / "nothing"): "is no folder",
        (once, tmp_path / "folder"): "has no sweep.json",
        (once, empty): "has no measured cell",
        (once, once): "the same",
        (f"{once}:fp8", f"{once}:fp8"): "the same",
        (f"{once}:fp8", once): "the same",
        (f"{once}:bf16", f"{once}:fp9"): "no variant 'fp9'; did you mean 'fp8'",
        (f"{once}:bf16", "fp8"): "results/SWEEP:fp8",
        ("--results", once, "bf16", "int4"): "no variant 'int4'",
        (once, sweeps / "old", "--min-recovery", "99"): "99 % is 0.99",
        (once, sweeps / "old", "--max-itl-regression", "nan"): "5 % is 0.05",
        (once, sweeps / "old", "--json", tmp_path): "is a folder",
        (once, sweeps / "old", "--html", tmp_path / "no" / "x.html"): "is no folder; make it first",
    }
    for words, message in cases.items():
        code, out, err = run(*words)
        assert code == 2 and message in err and not out, words


@pytest.mark.parametrize("text", ["{", "[]", '{"cell": 1}', '"x"'])
def test_a_damaged_record_is_named(run, sweeps, tmp_path, text):
    other = store(tmp_path / "b", variants=FEW)
    record = sorted(other.glob("cells/*/record.json"))[0]
    record.write_text(text)
    code, _, err = run(sweeps / "once", other)
    assert code == 2 and str(record.parent) in err and "run the sweep again" in err


def test_damaged_rows_are_named(run, sweeps, tmp_path):
    other = store(tmp_path / "b")
    rows = next(other.glob("cells/accuracy-fp8-mmlu--*/rows.jsonl.gz"))
    rows.write_bytes(rows.read_bytes()[:200])
    code, _, err = run(sweeps / "once:fp8", other)
    assert code == 2 and str(rows.parent) in err and "Traceback" not in err


def test_the_json_has_what_the_text_says(run, sweeps, nights, tmp_path):
    target = tmp_path / "c.json"
    assert run(*fp8(nights), sweeps / "slow", "--max-itl-regression", "0.05", "--json", target)[0] == 3
    found = json.loads(target.read_text())
    assert found["schema"] == 1 and found["failed"] and found["verdict"].startswith("FAILED")
    [pair] = found["pairs"]
    assert all(check["failed"] and check["counts_as"] == "failure" for check in pair["checks"])
    assert len(pair["references"]) == 5 and all(check["starts"]["reference"] == 5 for check in pair["checks"])
    assert run(sweeps / "old:fp8", sweeps / "new", "--max-itl-regression", "0.05", "--json", target)[0] == 4
    found = json.loads(target.read_text())
    assert found["refused"] == 5 and not found["failed"] and found["verdict"].startswith("REFUSED")
    [pair] = found["pairs"]
    assert pair["differences"] == [{"what": "engine", "a": "vllm 0.32.0", "b": "vllm 0.33.0"}]
    ratios = [p["ratio"] for p in pair["load_points"] if p["metric"] == "itl_ms_p99"]
    assert len(ratios) == 5 and all(r["value"] == pytest.approx(1.08) and r["low"] < 1.08 < r["high"] for r in ratios)
    assert not any(check["failed"] for check in pair["checks"])


def test_hostile_text_stays_text(run, tmp_path):
    attack = '<script>window.hacked=1</script><img src=x onerror="window.hacked=1">\x1b[2J'

    def change(manifest, records, _rows):
        manifest["variants"]["fp8"]["label"] = attack
        for record in records:
            record["flags"].append({"code": attack, "level": "invalid", "message": attack})
            record["inputs"]["engine"] = {attack: attack}

    a, b = store(tmp_path / "a"), store(tmp_path / "b", change=change)
    page = tmp_path / "c.html"
    code, out, _ = run(f"{a}:fp8", b, "--html", page)
    assert code == 0 and "\x1b" not in out
    text = page.read_text()
    assert "<script>window" not in text and "<img src=x" not in text and "&lt;script&gt;window" in text


def test_the_command_stays_light():
    """No engine, no MLflow, no torch: a gate in CI starts in a second."""
    loaded = "import sys, harness.compare.__main__ as m; import harness.compare.sides, harness.compare.text"
    check = "print([n for n in ('torch', 'mlflow', 'transformers', 'vllm', 'lm_eval', 'pandas') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", f"{loaded}; {check}"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
