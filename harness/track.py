"""Log a sweep to MLflow again, from its store. Logging it twice makes no duplicates.

    harness track results/quickstart
    harness track results/quickstart --tracking-uri http://mlflow.example:5000 --experiment compression

Exit codes: 0 logged, 1 MLflow did not take it (the message has the command that repeats it), 2 a wrong argument.
"""

import os
import sys
from pathlib import Path

from harness.console.arguments import command_parser
from harness.console.output import masked_main, warn_of_damage
from harness.errors import ConfigError, HarnessError

DEFAULT_URI, DEFAULT_EXPERIMENT = "sqlite:///mlflow.db", "harness"


def main() -> int:
    parser = command_parser("track", __doc__)
    parser.add_argument("results", type=Path, metavar="RESULTS_DIR", help="a sweep's folder, like results/quickstart")
    help = f"default: $MLFLOW_TRACKING_URI, else the sweep's mlflow.tracking_uri, else {DEFAULT_URI}"
    parser.add_argument("--tracking-uri", metavar="URI", help=help)
    parser.add_argument(
        "--experiment", metavar="NAME", help=f"default: the sweep's mlflow.experiment, else {DEFAULT_EXPERIMENT}"
    )
    parser.add_argument(
        "--report", type=Path, metavar="DIR", help="a report's folder to log; default: it is made again for this"
    )
    arguments = parser.parse_args()
    from harness.analysis import analyse
    from harness.analysis.load_study import load_study
    from harness.machine.scratch import scratch
    from harness.redaction.masking import mask
    from harness.report import write_report
    from harness.tracking import track

    try:
        if arguments.report is not None and not (arguments.report / "index.html").is_file():
            raise ConfigError(f"{arguments.report} has no index.html; leave --report out to have the report made again")
        study = load_study(arguments.results)
        warn_of_damage(arguments.results, study.damaged, "not logged; the sweep's command repairs it")
        asked = study.config.get("mlflow") or {}
        uri = arguments.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or asked.get("tracking_uri")
        uri, experiment = uri or DEFAULT_URI, arguments.experiment or asked.get("experiment") or DEFAULT_EXPERIMENT
        findings = analyse(study)
        with scratch("report") as work:
            report = arguments.report or write_report(study, work, findings).parent
            compare = track(study, report, uri, experiment, findings, arguments.results)
    except ConfigError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (HarnessError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{study.name}: logged to {mask(uri)}, experiment {experiment}")
    print(f"compare: {compare}")
    return 0


if __name__ == "__main__":
    sys.exit(masked_main(main))
