"""The HTML page: one file that needs nothing else.

All text is escaped by jinja2; figure data stand in `application/json` blocks with <, > and & as \\u escapes, so no text
can end a script. A content security policy lets the two scripts of the page run (by their hash) and nothing else, and
loads nothing from anywhere: should an escape be missing one day, a hostile text still does not run.
"""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import jinja2
import yaml
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from harness.analysis import Findings
from harness.analysis.validity import simulated
from harness.report import accuracy_tables as accuracy
from harness.report import performance_tables as performance
from harness.report import validity_tables as validity
from harness.report.figures import Figure, curve_figure, front_figure
from harness.report.style import styles
from harness.report.words import plural, slo, verdicts

HERE = Path(__file__).parent


def render_page(findings: Findings) -> str:
    study = findings.study
    looks = styles(list(study.variants), study.baseline)
    scripts = [get_plotlyjs(), (HERE / "page.js").read_text(encoding="utf-8")]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html").render(
        study=study,
        findings=findings,
        looks=looks,
        verdicts=verdicts(findings),
        words=sorted({mark.word for mark in findings.marks}),
        variants=accuracy.variants_table(findings),
        recovery=accuracy.recovery_table(findings),
        judge=accuracy.judge_table(findings) if findings.win_rates else None,
        published=accuracy.published_table(findings) if study.published and not simulated(study) else None,
        fronts=_fronts(findings, looks),
        scenarios=_scenarios(findings, looks),
        single_stream=performance.single_stream_table(findings),
        throughput=performance.throughput_table(findings),
        other_loads=performance.other_loads_table(findings),
        validity=validity,
        config=yaml.safe_dump(plain(study.config), sort_keys=False, allow_unicode=True, width=110),
        css=Markup((HERE / "page.css").read_text(encoding="utf-8")),
        scripts=[Markup(script) for script in scripts],
        policy=_policy(scripts),
        safe_json=safe_json,
        plural=plural,
    )


def _fronts(findings: Findings, looks: dict) -> list[Figure]:
    return [
        front_figure(findings, looks, front, f"front-{front.name}", performance.front_table(findings, front))
        for front in findings.fronts
    ]


def _scenarios(findings: Findings, looks: dict) -> list[dict[str, Any]]:
    """For each scenario: its figures and the table of its two readings."""
    found = []
    for position, (name, scenario) in enumerate(findings.study.scenarios.items()):
        figures = [
            curve_figure(
                findings,
                looks,
                name,
                latency,
                f"{latency}-{position}",
                performance.ladder_table(findings, name, latency),
            )
            for latency in ("itl_ms", "ttft_ms")
        ]
        shape = f"{scenario.prompt_tokens} prompt and {scenario.output_tokens} generated tokens; {slo(scenario.slo)}"
        readings = performance.fixed_rate_table(findings, name)
        found.append({"name": name, "shape": shape, "figures": figures, "readings": readings})
    return found


def _policy(scripts: list[str]) -> str:
    hashes = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in hashes)
    return f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:"


def safe_json(value: Any) -> Markup:
    """JSON that cannot end the script element it stands in."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def plain(value: Any) -> Any:
    """A configuration as JSON types, so that YAML prints it without tags."""
    return json.loads(json.dumps(value, default=str))
