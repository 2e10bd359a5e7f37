"""python -m harness.track RESULTS_DIR [--tracking-uri URI]: MLflow again, from the store. Twice makes no duplicates."""

import argparse
import sys
from pathlib import Path

from harness.errors import HarnessError


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m harness.track", description=__doc__)
    parser.add_argument("results", type=Path, help="a sweep's folder, like results/quickstart")
    parser.add_argument("--tracking-uri", default="sqlite:///mlflow.db")
    parser.add_argument("--experiment", default="harness")
    parser.add_argument("--report", type=Path, help="the report's folder; default: reports/NAME OF THE SWEEP")
    arguments = parser.parse_args()
    from harness.analysis.load import load_study
    from harness.report import write_report
    from harness.tracking import track

    try:
        study = load_study(arguments.results)
        report = arguments.report or Path("reports") / study.name
        if not (report / "index.html").is_file():
            write_report(study, report)
        track(study, report, arguments.tracking_uri, arguments.experiment)
    except HarnessError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{study.name}: logged to {arguments.tracking_uri}, experiment {arguments.experiment}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
