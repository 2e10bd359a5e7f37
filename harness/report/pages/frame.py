"""The frame that every page of the project has: one file that needs nothing else.

All text is escaped by jinja2; figure data are in `application/json` blocks with <, > and & as \\u escapes, so no text
can end a script. A content security policy lets the page's own scripts run (by their hash) and nothing else, and loads
nothing from anywhere: should an escape be missing one day, a hostile text still does not run.

A page is a template of this folder that begins with ``{% extends "frame.html" %}`` and, for tables and figures,
``{% import "macros.html" as m with context %}``; it fills the blocks header, nav, main and footer.
"""

import base64
import functools
import hashlib
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from harness.analysis.validity import Mark
from harness.report.figures.style import VariantStyle
from harness.untrusted.visible import hides, visible

HERE = Path(__file__).parent


def render(
    template: str,
    title: str,
    looks: dict[str, VariantStyle],
    labels: dict[str, str],
    marks: Iterable[Mark] = (),
    figures: bool = True,
    **context: Any,
) -> str:
    """The page as HTML. `labels`: the legend's text by variant; `figures`: without them plotly (4.8 MB) stays out."""
    marks = list(marks)
    scripts = [*_plotly(), (HERE / "page.js").read_text(encoding="utf-8")] if figures else []
    return (
        _environment()
        .get_template(template)
        .render(
            title=title,
            looks=looks,
            labels=labels,
            marks=marks,
            words=sorted({mark.word for mark in marks}),
            css=Markup((HERE / "page.css").read_text(encoding="utf-8")),
            scripts=[Markup(script) for script in scripts],
            policy=_policy(scripts),
            safe_json=safe_json,
            **context,
        )
    )


def _plotly() -> list[str]:
    from plotly.offline import get_plotlyjs

    return [get_plotlyjs()]


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        finalize=_finalized,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["breaks"] = breaks
    return environment


_JOINED = re.compile(r"(?<=[≈≥≤<~]) | (?=[%/])|(?<=,) (?=[^\[\]]*\])")


def breaks(text: str) -> str:
    """The text of a cell, whose lines break before an interval, but in no number and in no interval."""
    return _JOINED.sub("\u00a0", text)


def _finalized(value: Any) -> Any:
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _policy(scripts: list[str]) -> str:
    hashes = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes) or "'none'"
    return f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:"


def safe_json(value: Any) -> Markup:
    """JSON that cannot end the script element it is in."""
    dumps = functools.partial(json.dumps, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    text = dumps(value)
    if re.search(r"\\[urbf]", text) or hides(text):  # of a name, for a figure
        text = dumps(_visible_data(value))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _visible_data(value: Any) -> Any:
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, dict):
        return {_visible_data(key): _visible_data(item) for key, item in value.items()}
    return [_visible_data(item) for item in value] if isinstance(value, list | tuple) else value
