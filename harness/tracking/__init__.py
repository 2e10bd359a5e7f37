"""MLflow: a measurement of a sweep is a parent run, a variant a child run. A sink: it may fail, and can be rebuilt.

metrics.py names the numbers, content.py the rest, measurement.py tells one night from another, runs.py writes,
history.py adds each night to the trend, view.py saves the comparison for MLflow's UI, kept.py tells when all of it is
there already.
"""

import contextlib
import logging
import os
import shlex
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from harness.analysis import Findings, Study, analyse
from harness.errors import HarnessError
from harness.protocol.urls import loopback_without_proxy, proxy_of
from harness.redaction.known_secrets import learn_url
from harness.redaction.masking import MASK, excerpt, mask
from harness.tracking.metrics import metric_name

__all__ = ["metric_name", "track"]

CONNECT_TIMEOUT_S = 5.0
UI = "http://127.0.0.1:5000"  # where `mlflow ui` answers


def track(
    study: Study,
    report_dir: Path,
    tracking_uri: str,
    experiment: str,
    findings: Findings | None = None,
    results: Path | None = None,
) -> str:
    """Writes the study to MLflow; the same study again changes nothing. Raises HarnessError.

    `results`: the sweep's folder, for the command that repeats this step. Returns where its variants are side by
    side, as text: a server's URL; for a database the command that serves it, and then the URL.
    """
    findings = findings or analyse(study)
    learn_url(tracking_uri)
    given, tracking_uri = tracking_uri, tracking_uri.replace(f"//{MASK}@", "//")
    with _quiet_mlflow(), loopback_without_proxy():
        try:
            from mlflow import MlflowClient

            from harness.tracking.runs import Runs

            _reachable(tracking_uri)
            link = Runs(MlflowClient(tracking_uri=tracking_uri), tracking_uri, experiment).write(
                findings, Path(report_dir)
            )
        except Exception as error:  # MLflow raises its own, requests', SQLAlchemy's and the operating system's
            message = excerpt(" ".join(str(error).split()), 300) or type(error).__name__
            if given != tracking_uri:
                message += (
                    "\nThe sweep's stored tracking URI has its credentials masked: set MLFLOW_TRACKING_URI, or for a "
                    "server MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
                )
            again = repeat_command(results or Path("results") / study.name, tracking_uri, experiment)
            raise HarnessError(
                f"MLflow at {mask(tracking_uri)} did not take the study: {message}\n"
                f"The results and the report are complete. To log them once it answers (nothing is measured again):\n"
                f"  {again}"
            ) from error
    if _is_http(tracking_uri):
        return f"{mask(tracking_uri).rstrip('/')}/{link}"
    return f"mlflow ui --backend-store-uri {shlex.quote(mask(tracking_uri))}, then {UI}/{link}"


def repeat_command(results: Path, tracking_uri: str, experiment: str) -> str:
    uri = mask(tracking_uri)
    words = ["python", "-m", "harness.track", str(results), "--tracking-uri", uri, "--experiment", experiment]
    return shlex.join(words)


def _is_http(uri: str) -> bool:
    return urlsplit(uri).scheme in ("http", "https")


def _reachable(tracking_uri: str) -> None:
    """MLflow retries a dead server for minutes; one connection says it in seconds."""
    if _is_http(tracking_uri):
        url = urlsplit(proxy_of(tracking_uri) or tracking_uri)
        port = url.port or (443 if url.scheme == "https" else 80)
        with socket.create_connection((url.hostname, port), timeout=CONNECT_TIMEOUT_S):
            pass


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
