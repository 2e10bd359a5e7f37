"""The composed configuration of a study as a sweep file, and the command that runs it: no path of this machine. Pure.

    harness --config-dir . +sweep=NAME_reproduction   # in the folder that has sweep/

Every value is in the file, so that later defaults change nothing. A checkpoint that was a local folder is named
./FOLDER: the reader puts it there, or names another.
"""

from pathlib import PurePath
from typing import Any

import yaml

from harness.analysis.study import Study
from harness.paths import scenarios_dir
from harness.report.files.public_names import public
from harness.untrusted.names import file_name

HERE = ("executor", "results_dir", "reports_dir", "cache_dir", "mlflow", "dry_run", "log_level", "progress", "name")
ADDRESSES = ("base_url", "api_key", "binary", "python")  # of this machine, or of servers that a reader does not have


def sweep_file(study: Study) -> str:
    """The name beside the cards."""
    return f"sweep/{_stem(study)}.yaml"


def command(study: Study) -> str:
    return f"harness --config-dir . +sweep={_stem(study)}"


def _stem(study: Study) -> str:
    """Not the name alone: Hydra would take the sweep of that name in conf/."""
    return f"{file_name(study.name)}_reproduction"


def sweep_yaml(study: Study) -> str | None:
    """The text of the sweep file; None for a study that was stored without its configuration."""
    if not study.config.get("variants") or not isinstance(study.config.get("engine"), dict):
        return None
    config = {key: value for key, value in study.config.items() if key not in HERE}
    kind = config["engine"].get("kind")
    suites = config.get("suites") or {}
    defaults: list[Any] = [{f"/suite@suites.{name}": f"{suite['kind']}_schema"} for name, suite in suites.items()]
    defaults += [{"override /engine": f"{kind}_schema"}, {"override /compression": "schema"}]
    texts = {name: _portable(value) for name, value in config.items()}
    body = yaml.safe_dump({"defaults": defaults, "name": study.name, **texts}, sort_keys=False, width=110)
    head = [
        "# @package _global_",
        f"# The configuration of the study {public(study.name)}, composed by harness {study.harness}. Run it with",
        f"#   {command(study)}",
        "# Local checkpoints are named ./FOLDER: put them there, or name others.",
    ]
    return "\n".join([*head, body])


def _portable(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _portable(entry, name) for name, entry in value.items() if value or name}
    if isinstance(value, list):
        return [_portable(entry, key) for entry in value]
    if not isinstance(value, str):
        return value
    if key in ADDRESSES:
        return "???" if key == "base_url" else None
    path = PurePath(value)
    if path.is_relative_to(scenarios_dir()):
        return f"${{scenarios:{path.relative_to(scenarios_dir())}}}"
    named = public(value)
    if named != value and value.startswith(("/", "~", ".")) and "@" not in named:
        named = f"./{named}"
    return named.replace("${", "\\${")
