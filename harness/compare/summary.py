"""A comparison in a screen of Markdown: for a CI job's summary page and for a comment on a pull request."""

from harness.compare.outcome import Outcome, Pair
from harness.report.files.markdown import code_fence, markdown, markdown_table
from harness.report.largest_change import largest_change
from harness.report.regression import regression
from harness.report.tables.changes import changes_table
from harness.report.tables.gates import gates_table


def summary(outcome: Outcome) -> str:
    head = f"### {markdown(outcome.verdict or 'Compared; no gate was asked for')}"
    said = [f"**{markdown(regression(outcome.compared, outcome.strict))}**"]
    said += [markdown(text)] if (text := largest_change(outcome.compared)) else []
    changes = changes_table(outcome.compared, outcome.strict)
    said += [markdown_table(changes)] if changes.rows else []
    return (
        "\n\n".join([head, *said, *(_pair(pair, outcome) for pair in outcome.pairs), code_fence(outcome.command)])
        + "\n"
    )


def _pair(pair: Pair, outcome: Outcome) -> str:
    parts = [f"**{markdown(pair.comparison.a.place)} against {markdown(pair.comparison.b.place)}**"]
    if pair.checks:
        parts.append(markdown_table(gates_table(pair.checks, outcome.strict, outcome.regression)))
    if pair.comparison.not_compared:
        parts.append("\n".join(f"- not compared: {markdown(reason)}" for reason in pair.comparison.not_compared))
    return "\n\n".join(parts)
