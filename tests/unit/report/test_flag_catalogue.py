"""Every flag that the code can set is explained."""

import ast
from pathlib import Path

import harness
from harness.loadgen.client.oddities import ODDITIES
from harness.records.flag import Flag
from harness.report.flag_catalogue import FLAGS, remedies

PACKAGE = Path(harness.__file__).parent
COMPUTED = {  # their codes are not constants where the flag is made: engines/executed.py, accuracy/
    *("kernel_unknown", "no_sparse_kernel", "activations_unquantized", "activations_differ", "kv_cache_unquantized"),
    *("content_filter", "unreadable", "truncated", "unparsed"),
}
COLLECTED = {"engine_differs", "not_compared"}  # of the whole study: analysis/validity.py


def set_in_code() -> set[str]:
    """The first argument of each call of Flag, where it is a constant or a choice of two."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Flag" and node.args:
                found |= {
                    each.value
                    for each in ast.walk(node.args[0])
                    if isinstance(each, ast.Constant) and isinstance(each.value, str)
                }
    return found


def test_every_flag_of_the_code_is_explained() -> None:
    known = set_in_code() | set(ODDITIES) | COMPUTED | COLLECTED
    assert known == set(FLAGS)


def test_a_remedy_is_given_once() -> None:
    both = [Flag("client_lag", "invalid"), Flag("client_cpu", "invalid"), Flag("simulated", "caution")]
    assert remedies(both) == [FLAGS["client_lag"].remedy]


def test_an_unknown_flag_of_a_newer_store_refers_to_its_message() -> None:
    assert remedies([Flag("brand_new", "invalid")]) == ["see the flag's message"]
