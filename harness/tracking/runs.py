"""The runs of a sweep, made or brought up to date. Killed anywhere and repeated, the result is the same.

A run is known by its tags: the sweep, the variant, what measured it (engine version and hardware) and the measurement
(measurement.py). Another machine's, another engine's or another night's sweep of the same name has its own runs, and
they are never touched. MLflow can neither change a parameter nor take a metric back: a run of this measurement that
would need it is deleted (into MLflow's trash) and made again. history.py has the trend over measurements.
"""

import contextlib
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from harness.analysis import Findings, Study
from harness.analysis.validity import simulated
from harness.tracking import content
from harness.tracking.history import HISTORY, add_point, trend_view
from harness.tracking.kept import ARTIFACTS, SQLITE
from harness.tracking.measurement import (
    MEASUREMENT,
    NOTHING_YET,
    RECORDS,
    measured_ms,
    record_ids,
    same_measurement,
)
from harness.tracking.metrics import Metrics, metrics
from harness.tracking.view import TAG, VARIANT, saved_view, view_key, view_link

BATCH = 1000  # metrics that MLflow takes in one request
PARAM_BATCH = 100
SWEEP, MEASURED_BY = "harness.sweeps.sweep", "harness.measured_by"
PARENT, NAME, NOTE, CONTEXT = "mlflow.parentRunId", "mlflow.runName", "mlflow.note.content", "mlflow.data.context"


class Runs:
    def __init__(self, client: Any, tracking_uri: str, experiment: str):
        self.client = client
        found = client.get_experiment_by_name(experiment)
        if found is not None and found.lifecycle_stage == "deleted":
            client.restore_experiment(found.experiment_id)
        self.experiment = found.experiment_id if found else _create_experiment(client, tracking_uri, experiment)

    def write(self, findings: Findings, report_dir: Path) -> str:
        """Returns the link to the comparison, to be put behind the server's address."""
        study = findings.study
        shared = {SWEEP: study.name, MEASURED_BY: _measured_by(study)}
        ids, running = record_ids(study), study.to_come is not None
        shared[MEASUREMENT] = self.measurement(shared, ids)
        key = view_key("\n".join(shared.values()))
        link = view_link(self.experiment, key)
        at_ms = measured_ms(study) or int(time.time() * 1000)
        kept = {
            SWEEP: study.name,
            HISTORY: content.hardware_text(study.host) + (", simulated" if simulated(study) else ""),
        }
        trend_key = view_key("\n".join(kept.values()) + "\ntrend")
        trend = view_link(self.experiment, trend_key)
        said = {"harness.marks": ", ".join(sorted({mark.word for mark in findings.marks})) or "none"}
        watermark = {"simulated": "true"} if simulated(study) else {}
        said |= watermark
        said[RECORDS] = " ".join(ids)
        tags = (
            shared
            | said
            | content.decision_tags(findings)
            | {NAME: study.name, NOTE: content.sweep_note(findings, link, trend)}
        )
        parent = self.run(shared, tags, content.sweep_params(study), {}, content.datasets(study), at_ms)
        if running:
            self.client.update_run(parent, status="RUNNING")
        names: set[str] = set()
        trended: set[str] = set()
        for name, variant in reversed(study.variants.items()):  # MLflow lists the newest first
            tags = {NAME: variant.label, PARENT: parent, NOTE: content.variant_note(findings, name)}
            values = metrics(findings, name)
            names |= {metric for metric, _ in values}
            own = shared | {VARIANT: name}
            data = content.datasets(study, name)
            self.run(own, own | said | tags, content.variant_params(study, name), values, data, at_ms)
            if study.measured and not running:  # a point of the trend is only added: it waits for the last session
                note = {NOTE: content.history_note(findings)} | watermark
                history = self.history(kept | {VARIANT: name}, note | {NAME: f"{variant.label}: history"})
                trended |= add_point(self.client, history, shared[MEASUREMENT], values, at_ms)
        self.artifacts(parent, study, report_dir)
        now_ms = int(time.time() * 1000)
        self.save_view(key, saved_view(study, _filter(shared), names, now_ms))
        if not running:
            self.save_view(trend_key, trend_view(study.name, _filter(kept), trended, now_ms))
            self.client.set_terminated(parent, "FINISHED")  # last: a sweep whose logging broke off is not finished
        return link

    def measurement(self, shared: dict[str, str], ids: list[str]) -> str:
        """The id of the measurement: that of the runs which hold one of its records, else a new one.

        Its runs are given the `shared` tags: a later session may have added an engine to what measured them.
        """
        for run in self.search({SWEEP: shared[SWEEP]}):
            before = run.data.tags.get(MEASURED_BY, "")
            if not same_measurement(run.data.tags, ids) or not _includes(shared[MEASURED_BY], before):
                continue
            known = {SWEEP: shared[SWEEP], MEASUREMENT: run.data.tags[MEASUREMENT]}
            for other in self.search(known) if before != shared[MEASURED_BY] else ():
                if other.data.tags.get(MEASURED_BY) == before:
                    self.client.set_tag(other.info.run_id, MEASURED_BY, shared[MEASURED_BY])
            return known[MEASUREMENT]
        return ids[0] if ids else NOTHING_YET

    def history(self, identity: dict[str, str], tags: dict[str, str]) -> Any:
        """The run that collects a variant's points, made with `tags` where there is none."""
        known = [run for run in self.search(identity) if all(run.data.tags.get(t) == v for t, v in identity.items())]
        if known:
            return known[-1]
        run = self.client.create_run(self.experiment, run_name=tags[NAME], tags=identity | tags)
        self.client.set_terminated(run.info.run_id, "FINISHED")
        return run

    def search(self, tags: dict[str, str]) -> Iterator[Any]:
        """The runs with these tags, or with ones that differ in quotes, the newest first."""
        token = None
        while token is None or token:
            page = self.client.search_runs([self.experiment], _filter(tags), max_results=1000, page_token=token)
            yield from page
            token = page.token or ""

    def save_view(self, key: str, view: str | None) -> None:
        if view is not None:
            with contextlib.suppress(MlflowException):  # an older server takes shorter tags: its own charts remain
                self.client.set_experiment_tag(self.experiment, TAG + key, view)

    def run(
        self,
        identity: dict[str, str],
        tags: dict[str, str],
        params: dict[str, str],
        values: Metrics,
        data: dict,
        at_ms: int,
    ) -> str:
        """The id of the run with these identity tags, which then holds this and nothing else; `at_ms`: its moment."""
        run, logged = self.existing(identity), {}
        if run is not None:
            logged = self.logged(run, values)
            if _conflicts(run, params, values, data):
                self.client.delete_run(run.info.run_id)
                run, logged = None, {}
        if run is None:
            run = self.client.create_run(self.experiment, start_time=at_ms, run_name=tags[NAME], tags=tags)
        else:
            changed = [RunTag(key, value) for key, value in tags.items() if run.data.tags.get(key) != value]
            if changed:
                self.client.log_batch(run.info.run_id, tags=changed)
        known, run_id = run.data.params, run.info.run_id
        missing = [Param(key, value) for key, value in params.items() if key not in known]
        if missing:
            self.client.log_batch(run_id, params=missing[:PARAM_BATCH])
        now_ms = int(time.time() * 1000)  # of a value that replaces another: MLflow shows the newest of a step
        new = [
            Metric(name, value, now_ms if (name, step) in logged else at_ms, step)
            for (name, step), value in values.items()
            if logged.get((name, step)) != value
        ]
        for start in range(0, len(new), BATCH):
            self.client.log_batch(run_id, metrics=new[start : start + BATCH])
        if data:
            self.client.log_inputs(run_id, datasets=[_dataset_input(*key, **facts) for key, facts in data.items()])
        if PARENT in tags and run.info.status != "FINISHED":
            self.client.set_terminated(run_id, "FINISHED")
        return run_id

    def existing(self, identity: dict[str, str]) -> Any:
        """The newest run with these tags; the sweep's own run has no variant. Its twins, made by a process that was
        killed or ran beside another, are deleted: they hold the same measurement."""
        known = {tag: identity[tag] for tag in (SWEEP, MEASURED_BY, MEASUREMENT)}
        tags = (SWEEP, VARIANT, MEASURED_BY, MEASUREMENT)
        runs = [run for run in self.search(known) if all(run.data.tags.get(tag) == identity.get(tag) for tag in tags)]
        for twin in runs[1:]:
            self.client.delete_run(twin.info.run_id)
        return runs[0] if runs else None

    def logged(self, run: Any, values: Metrics) -> Metrics:
        """What the run holds already, by name and step: the newest value of each."""
        found = {(name, 0): value for name, value in run.data.metrics.items()}
        for name in {name for name, step in values if step} & set(run.data.metrics):
            found.pop((name, 0), None)
            for entry in sorted(self.client.get_metric_history(run.info.run_id, name), key=lambda m: m.timestamp):
                found[name, entry.step] = entry.value
        return found

    def artifacts(self, run_id: str, study: Study, report_dir: Path) -> None:
        """The report's files under report/, the plan under plan/; what lies there already is written over."""
        for path in sorted(report_dir.rglob("*")) if report_dir.is_dir() else []:
            place = path.relative_to(report_dir)
            if path.is_file() and not path.is_symlink() and not any(part.startswith(".") for part in place.parts):
                self.client.log_artifact(run_id, str(path), "/".join(("report", *place.parts[:-1])))
        self.client.log_text(run_id, content.plan_text(study), "plan/plan.txt")
        text = json.dumps(content.plan(study), indent=1, ensure_ascii=False, default=str)
        self.client.log_text(run_id, text.encode("utf-8", errors="replace").decode(), "plan/plan.json")


def _measured_by(study: Study) -> str:
    return f"{content.engine_text(study.measured) or 'nothing yet'} on {content.hardware_text(study.host)}"


def _includes(measured_by: str, before: str) -> bool:
    """Whether all engines of `before` are among those of `measured_by`, on the same hardware."""
    engines, _, hardware = measured_by.rpartition(" on ")
    engines_before, _, hardware_before = before.rpartition(" on ")
    return hardware == hardware_before and set(engines_before.split(", ")) <= set(engines.split(", "))


def _conflicts(run: Any, params: dict[str, str], values: Metrics, data: dict) -> bool:
    """Does the run hold something that it must not, and that MLflow has no way to take back?"""
    inputs = run.inputs.dataset_inputs if run.inputs else []
    return (
        any(params.get(key) != value for key, value in run.data.params.items())
        or not set(run.data.metrics) <= {name for name, _ in values}
        or not {(d.dataset.name, d.dataset.digest) for d in inputs} <= data.keys()
    )


def _dataset_input(name: str, digest: str, source_type: str, source: str, context: str) -> DatasetInput:
    return DatasetInput(Dataset(name, digest, source_type, source), [InputTag(CONTEXT, context)])


def _filter(tags: dict[str, str]) -> str:
    """MLflow's filter has no way to write quotes and backslashes: ``_`` is any one character."""
    wild = {tag: re.sub(r"['\"\\]", "_", value) for tag, value in tags.items()}
    return " AND ".join(f"tags.`{tag}` LIKE '{value}'" for tag, value in wild.items())


def _create_experiment(client: Any, tracking_uri: str, experiment: str) -> str:
    """Beside a SQLite file its artifacts, not wherever the command was run."""
    location = None
    if tracking_uri.startswith(SQLITE):
        location = (Path(tracking_uri.removeprefix(SQLITE)).resolve().parent / ARTIFACTS).as_uri()
    kind = {"mlflow.experimentKind": "custom_model_development"}  # the UI opens on runs and metrics, not on traces
    return client.create_experiment(experiment, artifact_location=location, tags=kind)
