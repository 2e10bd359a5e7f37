"""MLflow for real: SQLite."""

import base64
import json
import os
import re
import zlib
from pathlib import Path

import pytest

from harness.tracking import metric_name, track
from tests.integration.report.mlflow_runs import runs_of
from tests.unit.report.synthetic_records import VARIANTS
from tests.unit.report.synthetic_study import build, parts, synthetic_study, without


@pytest.fixture(scope="module")
def sqlite(tmp_path_factory, report_dir):
    """A database into which the same study was logged twice."""
    uri = f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"
    for _ in range(2):
        track(synthetic_study(), report_dir, uri, "harness")
    return uri


def test_a_sweep_is_a_parent_and_a_variant_a_child(sqlite):
    _, parent, children = runs_of(sqlite)
    assert list(sorted(children)) == sorted(VARIANTS)
    assert {run.data.tags["mlflow.parentRunId"] for run in children.values()} == {parent.info.run_id}
    assert children["fp8"].info.run_name == "Dense FP8" and parent.info.run_name == "synthetic"
    assert all(run.info.status == "FINISHED" for run in (parent, *children.values()))
    assert all(len(run.data.params) <= 10 for run in (parent, *children.values()))
    assert "keeps 99.3 %" in children["fp8"].data.tags["mlflow.note.content"]


def test_metrics_compare_side_by_side(sqlite):
    _, _, children = runs_of(sqlite)
    metrics = children["int4"].data.metrics
    wanted = {"accuracy/mmlu", "recovery/mmlu", "recovery/average", "itl_at_qps/chat_512_256_itl_ms_p99_at_qps_4"}
    wanted |= {"serving_chat_512_256/output_tok_per_s_throughput", "capacity/chat_512_256_max_qps_at_slo"}
    assert wanted <= metrics.keys()
    assert "recovery/mmlu" not in children["bf16"].data.metrics


def test_a_ladder_is_a_series_by_rate(sqlite):
    client, _, children = runs_of(sqlite)
    run_id = children["int4"].info.run_id
    for name in ("itl_by_qps/chat_512_256_p99_ms", "served_qps/chat_512_256"):
        history = client.get_metric_history(run_id, name)
        assert [entry.step for entry in sorted(history, key=lambda m: m.step)] == [1, 2, 4]


def test_rates_sort_as_numbers_and_may_be_fractions(sqlite, report_dir):
    study = synthetic_study(rates=[0.5, 2.0, 16.0], variants={"bf16": VARIANTS["bf16"]})
    uri, experiment = sqlite, "rates sort as numbers and may be fractio"
    track(study, report_dir, uri, experiment)
    client, _, children = runs_of(uri, experiment)
    names = sorted(
        name for name in children["bf16"].data.metrics if name.startswith("itl_at_qps/chat_512_256_itl_ms_p50")
    )
    assert [name.rpartition("_")[2] for name in names] == ["00.5", "02"], "16/s was not reached"
    history = client.get_metric_history(children["bf16"].info.run_id, "itl_by_qps/chat_512_256_p50_ms")
    assert sorted(entry.step for entry in history) == [50, 200, 1600]


def test_data_are_inputs_with_their_digests(sqlite):
    _, parent, children = runs_of(sqlite)
    for run in (parent, children["fp8"]):
        found = {d.dataset.name: d for d in run.inputs.dataset_inputs}
        assert found.keys() == {"pocket/mmlu", "pocket/gsm8k", "pocket/humaneval", "pocket/alpaca_eval"}
        assert found["pocket/mmlu"].dataset.digest == "ab12"
        assert json.loads(found["pocket/mmlu"].dataset.source)["digest"] == "sha256:ab12"
        assert {tag.key: tag.value for tag in found["pocket/mmlu"].tags} == {"mlflow.data.context": "evaluation"}


def test_the_plan_is_an_artifact_with_what_became_of_each_cell(sqlite, tmp_path):
    client, parent, _ = runs_of(sqlite)
    plan = json.loads(Path(client.download_artifacts(parent.info.run_id, "plan/plan.json", tmp_path)).read_text())
    study = synthetic_study()
    assert [cell["key"] for cell in plan["cells"]] == [m.cell.key for m in study.measured]
    assert {cell["state"] for cell in plan["cells"]} == {"measured"} and plan["command"] == study.command
    text = Path(client.download_artifacts(parent.info.run_id, "plan/plan.txt", tmp_path)).read_text()
    assert "int4 · chat_512_256 · server 4/s" in text


def test_the_description_leads_to_the_comparison(sqlite):
    client, parent, _ = runs_of(sqlite)
    note = parent.data.tags["mlflow.note.content"]
    key = re.search(r"viewStateShareKey=(\w+)", note)[1]
    view = json.loads(client.get_experiment(parent.info.experiment_id).tags[f"mlflow.sharedViewState.{key}"])
    state = json.loads(zlib.decompress(base64.b64decode(view["state"].removeprefix("deflate;"))))
    assert [section["name"] for section in state["compareRunSections"]] == [
        "ITL by request rate",
        "Recovery",
        "Accuracy",
        "Capacity",
    ]
    drawn = {
        name for chart in state["compareRunCharts"] for name in chart.get("selectedMetricKeys", [chart["metricKey"]])
    }
    assert {"itl_by_qps/chat_512_256_p99_ms", "recovery/average_low", "capacity/rag_1024_128_max_qps_at_slo"} <= drawn
    assert not re.search(r"(?<!\\)\[[\d+-]", note), "MLflow would make links of intervals"


def test_another_engine_or_machine_has_runs_of_its_own(sqlite, report_dir):
    from mlflow import MlflowClient

    uri, experiment = sqlite, "another engine or machine has runs of it"
    manifest, records, rows = parts(variants={"bf16": VARIANTS["bf16"]})
    track(build(manifest, records, rows), report_dir, uri, experiment)
    for record in records:
        record["engine"]["version"] = "0.33.0"
    for _ in range(2):
        track(build(manifest, records, rows), report_dir, uri, experiment)
    client = MlflowClient(tracking_uri=uri)
    runs = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
    runs = [run for run in runs if "harness.history" not in run.data.tags]
    by = {(run.data.tags["harness.measured_by"], run.data.tags.get("harness.variant")) for run in runs}
    assert len(runs) == len(by) == 4, "nothing of the older engine was replaced, nothing is there twice"


def test_the_report_is_an_artifact_beside_the_database(sqlite):
    client, parent, _ = runs_of(sqlite)
    names = {Path(item.path).name for item in client.list_artifacts(parent.info.run_id, "report")}
    assert names >= {"cells.csv", "index.html", "release_notes.md", "summary.json"}
    assert Path(parent.info.artifact_uri.removeprefix("file://")).is_relative_to(Path(sqlite[10:]).parent)


def test_a_second_time_adds_nothing(sqlite):
    client, _, children = runs_of(sqlite)
    for name in ("accuracy/mmlu", "itl_at_qps/chat_512_256_itl_ms_p50_at_qps_1"):
        assert len(client.get_metric_history(children["fp8"].info.run_id, name)) == 1


def test_an_unfinished_sweep_is_completed_in_place_and_a_changed_one_replaced(sqlite, report_dir):
    uri, experiment = sqlite, "an unfinished sweep is completed in plac"
    manifest, records, rows = parts()
    track(build(manifest, without(records, "load-fp8-chat"), rows), report_dir, uri, experiment)
    _, parent, children = runs_of(uri, experiment)
    assert "itl_at_qps/chat_512_256_itl_ms_p99_at_qps_4" not in children["fp8"].data.metrics
    track(build(manifest, records, rows), report_dir, uri, experiment)
    _, parent_again, completed = runs_of(uri, experiment)
    assert parent_again.info.run_id == parent.info.run_id
    assert completed["fp8"].info.run_id == children["fp8"].info.run_id
    assert "itl_at_qps/chat_512_256_itl_ms_p99_at_qps_4" in completed["fp8"].data.metrics
    for record in records:
        if record["cell"]["key"] == "load-fp8-chat_512_256-server-4.0-0":
            record["flags"].append({"code": "client_lag", "level": "invalid", "message": "late"})
    track(build(manifest, records, rows), report_dir, uri, experiment)
    _, _, replaced = runs_of(uri, experiment)
    assert "itl_at_qps/chat_512_256_itl_ms_p99_at_qps_4" not in replaced["fp8"].data.metrics, (
        "an invalid number does not stay"
    )
    assert replaced["int4"].info.run_id == children["int4"].info.run_id


def one_night(number, change=None):
    """A measurement of two variants, a little slower than the last."""
    manifest, records, rows = parts(variants={name: VARIANTS[name] for name in ("bf16", "fp8")}, rates=[1.0])
    for record in records:
        record["started_at"] = f"2026-11-{number:02d}T02:00:00+00:00"
        for name in record["result"]:
            if name.startswith("itl_ms"):
                record["result"][name] *= 1 + number / 100
    if change:
        change(records)
    return build(manifest, records, rows)


def test_five_nights_of_one_sweep_are_five_runs_and_a_trend(sqlite, report_dir):
    from mlflow import MlflowClient

    client, experiment = MlflowClient(tracking_uri=sqlite), "nights"
    for number in (1, 2, 3, 2, 5, 4, 5):  # two of them again, one late
        track(one_night(number), report_dir, sqlite, experiment)
    found = client.get_experiment_by_name(experiment)
    runs = client.search_runs([found.experiment_id], run_view_type=3)  # the deleted ones too
    history = {run.data.tags["harness.variant"]: run for run in runs if "harness.history" in run.data.tags}
    parents = [r for r in runs if "harness.variant" not in r.data.tags]
    assert len(parents) == 5 and len(runs) == 5 * 3 + 2, "nothing is there twice, nothing was deleted"
    assert len({run.info.start_time for run in parents}) == 5, "when it was measured"
    children = [r for r in runs if r.data.tags.get("harness.variant") == "fp8" and "harness.history" not in r.data.tags]
    name = "serving_chat_512_256/itl_ms_p99_single_stream"
    by_night = sorted((run.info.start_time, run.data.metrics[name]) for run in children)
    points = sorted(client.get_metric_history(history["fp8"].info.run_id, name), key=lambda m: m.timestamp)
    assert [(m.timestamp, m.value) for m in points] == by_night, "each night its point, at its moment"
    assert [m.step for m in points] == [m.timestamp // 1000 for m in points]
    views = [v for key, v in found.tags.items() if key.startswith("mlflow.sharedViewState.")]
    [trend] = [json.loads(view) for view in views if json.loads(view)["name"].endswith(": trend")]
    state = json.loads(zlib.decompress(base64.b64decode(trend["state"].removeprefix("deflate;"))))
    assert name in {chart["metricKey"] for chart in state["compareRunCharts"]}
    assert {chart["xAxisKey"] for chart in state["compareRunCharts"]} == {"time"}


def test_a_night_that_is_completed_later_is_still_one_run(sqlite, report_dir):
    """Its invalid cell was measured again, and so has another moment; the others tell that it is the same night."""
    experiment = "completed later"

    def again(records):
        records[0]["started_at"] = "2026-11-02T09:00:00+00:00"

    track(one_night(2), report_dir, sqlite, experiment)
    _, first, _ = runs_of(sqlite, experiment)
    track(one_night(2, again), report_dir, sqlite, experiment)
    _, second, _ = runs_of(sqlite, experiment)
    assert first.info.run_id == second.info.run_id


def test_names_that_mlflow_refuses(sqlite, report_dir):
    manifest, records, rows = parts(variants={name: VARIANTS[name] for name in ("bf16", "fp8")})
    manifest["name"] = 'o\'neil "x" <script>'
    manifest["variants"]["fp8"]["label"] = "x" * 700
    uri, experiment = sqlite, "names that mlflow refuses"
    for _ in range(2):
        track(build(manifest, records, rows), report_dir, uri, experiment)
    runs_of(uri, experiment)
    assert metric_name("../chat@512//p99, ms") == "chat_512/p99_ ms"


def test_names_that_differ_only_in_what_mlflow_refuses_stay_apart(sqlite, report_dir):
    manifest, records, rows = parts(variants={"bf16": VARIANTS["bf16"]})
    manifest["suites"] = [
        "mm@lu" if suite == "mmlu" else "mm%lu" if suite == "gsm8k" else suite for suite in manifest["suites"]
    ]
    for cell in [*manifest["cells"], *(record["cell"] for record in records)]:
        cell["suite"] = {"mmlu": "mm@lu", "gsm8k": "mm%lu"}.get(cell.get("suite"), cell.get("suite"))
    uri, experiment = sqlite, "names that differ only in what mlflow re"
    track(build(manifest, records, rows), report_dir, uri, experiment)
    _, _, children = runs_of(uri, experiment)
    found = {n: v for n, v in children["bf16"].data.metrics.items() if n.startswith("accuracy/mm_lu")}
    assert len({v for n, v in found.items() if "low" not in n and "high" not in n}) == 2


def test_the_environment_is_left_as_it_was(sqlite, report_dir):
    before = dict(os.environ)
    track(synthetic_study(), report_dir, sqlite, "harness")
    assert dict(os.environ) == before
