"""Nothing simulated can be taken for a measurement: the mark stands in every product of a study."""

import json

import pytest

from harness.analysis import analyse
from harness.report import write_report
from harness.report.verdicts import verdicts
from harness.sweeps.measuring.engine_flags import simulated_flags
from harness.tracking import track
from tests.unit.report.synthetic_study import build, parts, synthetic_study

pytestmark = pytest.mark.slow


def simulated_study():
    manifest, records, rows = parts()
    for record in records:
        record["engine"] = {"kind": "simulated", "version": "0.1.0", "command": [], "kernels": []}
        record["flags"] += [vars(flag) for flag in simulated_flags("simulated")]
    return build(manifest, records, rows)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return write_report(simulated_study(), tmp_path_factory.mktemp("simulated")).parent


def test_only_the_simulated_engine_is_flagged():
    [flag] = simulated_flags("simulated")
    assert (flag.code, flag.level) == ("simulated", "caution")
    assert simulated_flags("vllm") == simulated_flags("endpoint") == []


def test_the_page_says_it_in_headline_and_caveat_and_in_what_stays_on_every_screen(report):
    page = (report / "index.html").read_text()
    body = page[page.index("<body>") :]
    first, rest = body.split("<nav", 1)
    assert first.count("SIMULATED: ") == 1 and first.count("SIMULATED") == 2, "a headline may be quoted alone"
    assert '<li><a href="#provenance"><b>SIMULATED</b></a>' in first
    navigation, rest = rest.split("</nav>", 1)
    assert '<b class="words">' in navigation and navigation.count("SIMULATED") == 1, "it stays when the page scrolls"
    sentences = rest[rest.index('<ul class="verdicts">') :]
    sentences = sentences[: sentences.index("</ul>")]
    assert sentences.count("<p>") > 0 and "SIMULATED" not in sentences
    assert '@top-right{content:"' in page.split("</style>")[0], "in the margin of printed pages"


def test_release_notes_and_summary_say_it(report):
    notes = (report / "release_notes.md").read_text()
    assert "> **SIMULATED** " in notes
    assert notes.split("\n\n")[1].startswith("**SIMULATED: ")
    verdict = notes.partition("<details><summary>Verdict</summary>")[2].partition("</details>")[0]
    assert verdict.count("SIMULATED") == 1, "once above what is said of the variants"
    summary = json.loads((report / "summary.json").read_text())
    assert "SIMULATED" in {mark["word"] for mark in summary["marks"]}
    assert summary["recommendation"]["text"].startswith("SIMULATED: ")
    spoken = [variant["verdict"] for variant in summary["variants"].values() if variant["verdict"]]
    assert spoken and all(text.startswith("SIMULATED: ") for text in spoken)
    assert "simulated" in {flag["code"] for flag in summary["flags"]}


def test_nothing_simulated_is_laid_beside_published_figures(report, tmp_path):
    measured = write_report(synthetic_study(), tmp_path).parent
    for name in ("index.html", "release_notes.md"):
        assert "Measured here" in (measured / name).read_text()
        assert "Measured here" not in (report / name).read_text()
    assert "Not compared: a simulated engine answered" in (report / "index.html").read_text()


def test_a_real_judge_does_not_take_the_mark_away():
    manifest, records, rows = parts()
    judged = next(record for record in records if record["cell"]["kind"] == "judge")
    judged["flags"] += [vars(flag) for flag in simulated_flags("simulated")]
    assert "SIMULATED" in {mark.word for mark in analyse(build(manifest, records, rows)).marks}


def test_what_was_measured_is_not_marked():
    findings = analyse(synthetic_study())
    assert "SIMULATED" not in {mark.word for mark in findings.marks}
    assert not any("SIMULATED" in verdict.text for verdict in verdicts(findings))


def test_mlflow_runs_are_tagged(report, tmp_path):
    from mlflow import MlflowClient

    uri = f"sqlite:///{tmp_path}/mlflow.db"
    track(simulated_study(), report, uri, "simulated")
    track(synthetic_study(), report, uri, "measured")
    client = MlflowClient(tracking_uri=uri)
    for experiment, tag in (("simulated", "true"), ("measured", None)):
        runs = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
        assert len(runs) == 5 + 4, "the sweep's, its variants', and their histories"
        (said,) = {run.data.tags["harness.recommendation"] for run in runs if "harness.outcome" in run.data.tags}
        assert said.startswith("SIMULATED: ") == (tag == "true"), "the sweep's run has the recommendation"
        for run in runs:
            assert run.data.tags.get("simulated") == tag
            assert ("SIMULATED" in run.data.tags["mlflow.note.content"]) == (tag == "true")
