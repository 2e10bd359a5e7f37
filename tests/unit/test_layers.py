"""The packages of harness/ import in one direction, in the order of docs/layout.md."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
HARNESS = ROOT / "harness"
ROWS = re.compile(r"^\| `(\w+)` \|", re.MULTILINE)
LAYERS = ROWS.findall((ROOT / "docs" / "layout.md").read_text())


def parts() -> dict[str, list[Path]]:
    """{package, or module beside the packages: its files}"""
    found: dict[str, list[Path]] = {}
    for path in sorted(HARNESS.rglob("*.py")):
        name = path.relative_to(HARNESS).parts[0].removesuffix(".py")
        found.setdefault(name, []).append(path)
    del found["__init__"]  # the version
    return found


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """(line, package or module of harness/) of each import, those inside functions included."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module == "harness":
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and (node.module or "").startswith("harness."):
            yield node.lineno, str(node.module).split(".")[1]
        elif isinstance(node, ast.Import):
            names = (alias.name.split(".") for alias in node.names)
            yield from ((node.lineno, name[1]) for name in names if name[0] == "harness" and len(name) > 1)


def test_packages_import_only_those_above_them_in_the_layout():
    order = {name: position for position, name in enumerate(LAYERS)}
    upward = []
    for name, files in parts().items():
        for path in files:
            for line, other in imported(path):
                if other != name and other in order and order.get(name, len(order)) <= order[other]:
                    upward.append(f"{path.relative_to(ROOT)}:{line}: {name} imports {other}, which is below it")
    assert not upward, "\n".join(upward)


def test_commands_are_imported_by_commands_alone():
    known = parts()
    commands = known.keys() - set(LAYERS)
    found = [
        f"{path.relative_to(ROOT)}:{line}: {name} imports the command {other}"
        for name in LAYERS
        for path in known[name]
        for line, other in imported(path)
        if other in commands
    ]
    assert not found, "\n".join(found)


def test_the_layout_names_every_package_once_and_what_is_no_package_is_a_command():
    known = parts()
    assert len(set(LAYERS)) == len(LAYERS) and set(LAYERS) <= known.keys()
    for name in known.keys() - set(LAYERS):
        files = {path.name: path for path in known[name]}
        command = files.get("__main__.py", known[name][0])
        assert '__name__ == "__main__"' in command.read_text(), f"{name} is no command: give it a row in docs/layout.md"
