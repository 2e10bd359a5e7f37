"""MLflow: a sweep is a parent run, a variant a child run. A sink: it may fail, and can be rebuilt from the store.

Scalars go under names such as ``chat_512_256/itl_ms_p99_at_qps_4`` (analysis/scalars.py), so that two variants compare
in the UI by choosing their runs. A latency ladder is a series too, ``chat_512_256/itl_ms_p99_by_qps``: its step is the
offered rate, in 1/100 s⁻¹ (``.._by_qps_x100``) where a rate of the scenario is not whole, as MLflow steps are integers.
"""

import contextlib
import logging
import os
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from harness.analysis import Findings, Study, analyse
from harness.analysis.scalars import by_rate, rates, scalars
from harness.analysis.study import Variant
from harness.analysis.validity import simulated
from harness.errors import HarnessError
from harness.report.notes import release_notes

CONNECT_TIMEOUT_S = 5.0
BATCH = 1000  # metrics that MLflow takes in one request
DESCRIPTION_CHARS = 7500  # the server refuses a tag of more than 8000
SERIES = ("itl_ms_p50", "itl_ms_p99", "ttft_ms_p50", "ttft_ms_p99")
SWEEP, VARIANT, PARENT, NAME, NOTE = (
    "harness.sweep", "harness.variant", "mlflow.parentRunId", "mlflow.runName", "mlflow.note.content"
)  # fmt: skip


def track(study: Study, report_dir: Path, tracking_uri: str, experiment: str, findings: Findings | None = None) -> None:
    """Writes the study to MLflow; the same study again changes nothing. Raises HarnessError."""
    findings = findings or analyse(study)
    with _quiet_mlflow():
        try:
            from mlflow import MlflowClient

            _reachable(tracking_uri)

            _Writer(MlflowClient(tracking_uri=tracking_uri), tracking_uri, experiment).study(findings, Path(report_dir))
        except Exception as error:  # MLflow raises its own, requests', SQLAlchemy's and the operating system's
            message = " ".join(str(error).split())[:300] or type(error).__name__
            raise HarnessError(
                f"MLflow at {_without_password(tracking_uri)} did not take the study: {message}\n"
                f"The results and the report are complete. To log them once it answers, run the same command again "
                f"(nothing is measured twice):\n  {study.command}"
            ) from error


class _Writer:
    def __init__(self, client: Any, tracking_uri: str, experiment: str):
        self.client = client
        found = client.get_experiment_by_name(experiment)
        if found is not None and found.lifecycle_stage == "deleted":
            client.restore_experiment(found.experiment_id)
        self.experiment = found.experiment_id if found else _create_experiment(client, tracking_uri, experiment)

    def study(self, findings: Findings, report_dir: Path) -> None:
        study = findings.study
        params = {
            "baseline": study.baseline,
            "suites": ", ".join(study.suites),
            "scenarios": ", ".join(study.scenarios),
            "data": study.data,
            "margin": study.margin,
            "seed": study.seed,
            "harness": study.harness,
        }
        tags = {SWEEP: study.name, NAME: study.name, NOTE: _shortened(release_notes(findings))}
        tags["harness.marks"] = ", ".join(sorted({mark.word for mark in findings.marks})) or "none"
        shared = {"simulated": "true"} if simulated(study) else {}
        parent = self.run({SWEEP: study.name}, tags | shared, params, {})
        for path in sorted(report_dir.iterdir()) if report_dir.is_dir() else []:
            if path.is_file() and not path.name.startswith("."):
                self.client.log_artifact(parent, str(path), "report")
        for name, variant in study.variants.items():
            own = {SWEEP: study.name, VARIANT: name}
            tags = own | shared | {NAME: variant.label, PARENT: parent, NOTE: _variant_note(findings, name)}
            self.run(own, tags, _variant_params(findings, variant), _metrics(findings, name))

    def run(self, identity: dict[str, str], tags: dict[str, str], params: dict[str, Any], metrics: dict) -> str:
        """The run with these identity tags, made or brought up to date; its id.

        MLflow can neither change a parameter nor remove a metric. A run that would need it is deleted (it stays in
        MLflow's trash) and made again.
        """
        from mlflow.entities import Metric, Param, RunTag

        params = {key: str(value)[:500] for key, value in params.items() if value not in (None, "")}
        run, logged = self.existing(identity), {}
        if run is not None:
            logged = self.logged(run, metrics)
            if dict(run.data.params) != params or not set(run.data.metrics) <= {name for name, _ in metrics}:
                self.client.delete_run(run.info.run_id)
                run, logged = None, {}
        if run is None:
            run = self.client.create_run(self.experiment, run_name=tags[NAME], tags=tags)
            self.client.log_batch(run.info.run_id, params=[Param(key, value) for key, value in params.items()])
        else:
            changed = [RunTag(key, value) for key, value in tags.items() if run.data.tags.get(key) != value]
            if changed:
                self.client.log_batch(run.info.run_id, tags=changed)
        now = int(time.time() * 1000)
        new = [Metric(name, v, now, step) for (name, step), v in metrics.items() if logged.get((name, step)) != v]
        for start in range(0, len(new), BATCH):
            self.client.log_batch(run.info.run_id, metrics=new[start : start + BATCH])
        if run.info.status != "FINISHED":
            self.client.set_terminated(run.info.run_id, "FINISHED")
        return run.info.run_id

    def existing(self, identity: dict[str, str]) -> Any:
        """The newest run with these tags; the sweep's own run has no variant. Twins are deleted."""
        pattern = re.sub(r"['\"\\]", "_", identity[SWEEP])  # MLflow's filter has no way to write these; _ is any one
        runs = self.client.search_runs([self.experiment], f"tags.`{SWEEP}` LIKE '{pattern}'", max_results=1000)
        runs = [run for run in runs if all(run.data.tags.get(tag) == identity.get(tag) for tag in (SWEEP, VARIANT))]
        for twin in runs[1:]:
            self.client.delete_run(twin.info.run_id)
        return runs[0] if runs else None

    def logged(self, run: Any, metrics: dict[tuple[str, int], float]) -> dict[tuple[str, int], float]:
        """What the run holds already, by name and step: the newest value of each."""
        found = {(name, 0): value for name, value in run.data.metrics.items()}
        for name in {name for name, step in metrics if step} & set(run.data.metrics):
            found.pop((name, 0), None)
            for entry in sorted(self.client.get_metric_history(run.info.run_id, name), key=lambda m: m.timestamp):
                found[name, entry.step] = entry.value
        return found


def _metrics(findings: Findings, variant: str) -> dict[tuple[str, int], float]:
    """By (name, step): the scalars at step 0, the latency ladders by rate."""
    found = {(metric_name(name), 0): float(value) for name, value in scalars(findings, variant).items()}
    for scenario in findings.study.scenarios:
        whole = all(rate == int(rate) for rate in rates(findings, scenario))
        suffix, scale = ("by_qps", 1) if whole else ("by_qps_x100", 100)
        for metric in SERIES:
            for point, value in by_rate(findings, variant, scenario, metric):
                found[metric_name(f"{scenario}/{metric}_{suffix}"), round(scale * point.rate_rps)] = float(value)
    return found


def metric_name(name: str) -> str:
    """The characters that MLflow allows, without what it reads as a path: the first slash makes a section."""
    name = re.sub(r"[^A-Za-z0-9_\-. :/]", "_", name)
    return "/".join(part for part in name.split("/") if part.strip(". "))[:250]


def _variant_params(findings: Findings, variant: Variant) -> dict[str, Any]:
    engines = {
        f"{m.engine.get('kind', '')} {m.engine.get('version', '')}".strip()
        for m in findings.study.measured
        if m.cell.variant == variant.name and m.cell.kind != "judge" and m.engine
    }
    return {
        "label": variant.label,
        "weights": variant.weights,
        "activations": variant.activations,
        "sparsity": variant.sparsity or "none",
        "checkpoint": variant.checkpoint,
        "checkpoint_bytes": variant.checkpoint_bytes,
        "engine": ", ".join(sorted(engines)),
        "baseline": findings.study.baseline,
        "data": findings.study.data,
        "seed": findings.study.seed,
    }


def _variant_note(findings: Findings, name: str) -> str:
    from harness.report.notes import markdown
    from harness.report.words import verdicts

    texts = [markdown(verdict.text) for verdict in verdicts(findings) if verdict.variant == name] or ["The baseline."]
    texts += [f"**{mark.word}** {markdown(mark.reason)}" for mark in findings.marks]
    return _shortened("\n\n".join(texts))


def _shortened(text: str) -> str:
    """Whole lines, up to what MLflow takes."""
    if len(text) <= DESCRIPTION_CHARS:
        return text
    return text[:DESCRIPTION_CHARS].rsplit("\n", 1)[0] + "\n\nThe whole is in the artifacts, report/release_notes.md."


def _create_experiment(client: Any, tracking_uri: str, experiment: str) -> str:
    """Beside a SQLite file its artifacts, not wherever the command was run."""
    location = None
    if tracking_uri.startswith("sqlite:///"):
        location = (Path(tracking_uri.removeprefix("sqlite:///")).resolve().parent / "mlartifacts").as_uri()
    kind = {"mlflow.experimentKind": "custom_model_development"}  # the UI opens on runs and metrics, not on traces
    return client.create_experiment(experiment, artifact_location=location, tags=kind)


def _reachable(tracking_uri: str) -> None:
    """MLflow retries a dead server for minutes; one connection says it in seconds."""
    url = urlsplit(tracking_uri)
    if url.scheme in ("http", "https"):
        port = url.port or (443 if url.scheme == "https" else 80)
        with socket.create_connection((url.hostname, port), timeout=CONNECT_TIMEOUT_S):
            pass


def _without_password(uri: str) -> str:
    return re.sub(r"//[^/@]*@", "//***@", uri)


@contextlib.contextmanager
def _quiet_mlflow() -> Iterator[None]:
    """Few retries, no telemetry, no git look-up, no migration log; the environment is put back afterwards."""
    settings = {
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "GIT_PYTHON_REFRESH": "quiet",
        "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    }
    before = {key: os.environ.get(key) for key in settings}
    os.environ.update({key: value for key, value in settings.items() if before[key] is None})
    import mlflow  # noqa: F401  sets its loggers' levels, so it comes before they are changed

    loggers = {name: logging.getLogger(name) for name in ("alembic", "mlflow", "mlflow.store.db.utils", "urllib3")}
    levels = {name: logger.level for name, logger in loggers.items()}
    for logger in loggers.values():
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for name, logger in loggers.items():
            logger.setLevel(levels[name])
        for key, value in before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value
