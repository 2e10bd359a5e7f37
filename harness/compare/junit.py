"""The checks as JUnit XML, in the form that Jenkins (junit-10.xsd of its xUnit plugin), GitLab and pytest share.

A test suite keeps the schema of Maven's surefire too, which wants a `time` of every case: a check takes none.

A pair is a test suite, a check a test case: one that fails has a `failure`, one that could not be made an `error`, one
that was refused, or does not count, is `skipped`. XML 1.0 has no way to write most control characters.
"""

import re
from xml.etree import ElementTree as ET

from harness.analysis.decision.gates import NOT_EVALUATED, NOTE, REFUSED, Check
from harness.compare.outcome import Outcome, Pair
from harness.report.tables.gates import check_text, counts_as, limit_text
from harness.untrusted.visible import visible

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(outcome: Outcome) -> str:
    suites = [_suite(pair, outcome.strict) for pair in outcome.pairs]
    root = ET.Element("testsuites", {"name": "harness compare", **_totals(suites)})
    root.extend(suites)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _suite(pair: Pair, strict: bool) -> ET.Element:
    name = f"{pair.comparison.a.place} against {pair.comparison.b.place}"
    cases = [_case(check, pair.comparison.b.variant, strict) for check in pair.checks]
    counts = {kind: sum(case.find(kind) is not None for case in cases) for kind in ("failure", "error", "skipped")}
    given = {
        "tests": len(cases),
        "failures": counts["failure"],
        "errors": counts["error"],
        "skipped": counts["skipped"],
    }
    suite = ET.Element("testsuite", {"name": _text(name)} | {key: str(count) for key, count in given.items()})
    suite.extend(cases)
    return suite


def _totals(suites: list[ET.Element]) -> dict[str, str]:
    return {key: str(sum(int(suite.get(key, 0)) for suite in suites)) for key in ("tests", "failures", "errors")}


def _case(check: Check, variant: str, strict: bool) -> ET.Element:
    name = {"classname": _text(f"{variant}.{check.gate}"), "name": _text(check.what)}
    case = ET.Element("testcase", name | {"time": "0"})
    said = said_of(check, strict)
    if check.status == NOT_EVALUATED:
        ET.SubElement(case, "error", {"type": check.gate, "message": _text(said)})
    elif check.failed(strict):
        ET.SubElement(case, "failure", {"type": check.gate, "message": _text(said)})
    elif check.status in (REFUSED, NOTE):
        ET.SubElement(case, "skipped", {"message": _text(said)})
    ET.SubElement(case, "system-out").text = _text(said)
    return case


def said_of(check: Check, strict: bool) -> str:
    """``inconclusive, pass (failure with --strict): +4.9 % [+1.0, +8.8], limit ≤ +5.0 % (5 and 1 start)``"""
    found = "no value" if check.estimate is None else check_text(check, check.estimate)
    reason = f" ({check.reason})" if check.reason else ""
    return f"{check.status}, {counts_as(check, strict)}: {found}, limit {limit_text(check)}{reason}"


def _text(text: str) -> str:
    return _NOT_XML.sub("�", visible(text))
