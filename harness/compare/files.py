"""The files that a comparison is written to: a page, JSON, JUnit XML, and a Markdown summary."""

import argparse
from pathlib import Path

import harness
from harness.compare.data import comparison_json
from harness.compare.junit import junit
from harness.compare.outcome import Outcome
from harness.compare.summary import summary
from harness.errors import ConfigError
from harness.machine import disk
from harness.machine.disk import write_atomically
from harness.report.tables.gates import gates_table


def write_files(arguments: argparse.Namespace, outcome: Outcome) -> None:
    """Write what the options name. Raises ConfigError."""
    try:
        if arguments.json:
            write(arguments.json, comparison_json(outcome))
        if arguments.html:
            write(arguments.html, _page(outcome))
        if arguments.junit:
            write(arguments.junit, junit(outcome))
        if arguments.markdown:  # GitHub's summary is one file for all steps
            before = arguments.markdown.read_text() if arguments.markdown.is_file() else ""
            write(arguments.markdown, before + summary(outcome))
    except OSError as error:
        raise ConfigError(f"cannot write {error.filename or 'the output'}: {error.strerror or error}") from None


def _page(outcome: Outcome) -> str:
    from harness.report.pages.comparison import render_comparison

    gates = [gates_table(pair.checks, outcome.strict, outcome.regression) for pair in outcome.pairs]
    return render_comparison(
        outcome.compared,
        gates,
        outcome.verdict,
        outcome.failed,
        outcome.command,
        harness.__version__,
        outcome.strict,
    )


def write(path: Path, text: str) -> None:
    if path.is_dir():
        raise ConfigError(f"cannot write {path}: it is a folder; name a file")
    if not path.parent.is_dir():
        raise ConfigError(f"cannot write {path}: {path.parent} is no folder; make it first")
    with disk.naming(path.parent):
        write_atomically(path, text.encode("utf-8", errors="replace").decode())
