"""Show how a sweep's numbers move over nights, and where they change their level.

    harness trend results/night_*
    harness trend results/night_* --html trend.html --json trend.json

Each folder is one measurement of the sweep; they are ordered by when they were measured. A series of 6 nights or more
is searched for changes of its level (circular binary segmentation, 5 % over all series together); each has its size and
its night with 95 % intervals. The largest are printed, one screen of them; --html and --json have every series.

Exit codes: 0 shown, 2 a mistake in the command or a folder.
"""

import json
import shlex
import sys
from dataclasses import asdict
from pathlib import Path

import harness
from harness.console.arguments import command_parser
from harness.errors import ConfigError, HarnessError
from harness.redaction.masking import mask

CHANGES, ROWS = 5, 12  # that are printed: a screen of 24 lines


def main() -> int:
    parser = command_parser("trend", __doc__)
    parser.add_argument("folders", metavar="FOLDER", nargs="+", type=Path, help="results/SWEEP of one night")
    parser.add_argument("--html", type=Path, metavar="FILE", help="the trend as a page")
    parser.add_argument("--json", type=Path, metavar="FILE", help="the series and their changes for programs")
    arguments = parser.parse_args()
    try:
        show(arguments.folders, arguments.html, arguments.json)
    except HarnessError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def show(folders: list[Path], html: Path | None, data: Path | None) -> None:
    """Print the trend of these stores, and write the files. Raises ConfigError."""
    from harness.analysis.trend import Night, trend
    from harness.compare.files import write
    from harness.compare.sides import measured_at, read_study
    from harness.compare.text import plain, table_text
    from harness.report.pages.trend import conclusion, render_trend, sentences
    from harness.report.tables.trend import trend_table

    studies = {folder.resolve(): (str(folder), read_study(folder)) for folder in folders}
    nights = sorted((Night(p, measured_at(s), s) for p, s in studies.values()), key=lambda night: night.at)
    if len(nights) < 2:
        raise ConfigError("one folder only; name one of each night: results/night_*")
    series = trend(nights)
    command = shlex.join(["harness", "trend", *map(mask, sys.argv[1:])])
    try:
        if html:
            write(html, render_trend(nights, series, command, harness.__version__))
        if data:
            write(data, json.dumps([asdict(one) for one in series], indent=1) + "\n")
    except OSError as error:
        raise ConfigError(f"cannot write {error.filename or 'the output'}: {error.strerror or error}") from None
    changes = [plain(sentence) for sentence in sentences(series)]
    parts = [plain(conclusion(series)), *changes[:CHANGES], "", table_text(trend_table(series, ROWS))]
    if len(series) > ROWS:
        parts.append(f"All {len(series)} series: --html FILE or --json FILE.")
    shown = "\n".join(parts)
    print(shown, file=getattr(sys.stdout, "styled", sys.stdout), flush=True)
