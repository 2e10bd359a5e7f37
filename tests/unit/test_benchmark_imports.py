"""No test runs the benchmarks and the wheel checks: what they import from the harness exists, at least."""

import ast
import importlib
import importlib.util
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
FILES = sorted([*(TESTS / "benchmarks").rglob("*.py"), *(TESTS / "wheels").glob("*.py")])


@pytest.mark.parametrize("file", FILES, ids=lambda path: str(path.relative_to(TESTS)))
def test_every_name_exists(file):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "harness":
            module = importlib.import_module(node.module)
            for name in (alias.name for alias in node.names):
                assert hasattr(module, name) or importlib.util.find_spec(f"{node.module}.{name}"), name
