"""The command `harness`: its table of commands, its help, mistakes."""

import re
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

import harness
from harness.cli import COMMANDS, SWEEP, main
from tests import commands

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
NAMES = [command.name for command in COMMANDS]
HEAVY = (
    *("torch", "transformers", "vllm", "lm_eval", "pandas", "numpy", "scipy", "mlflow", "plotly", "aiohttp", "asyncio"),
    *("omegaconf", "hydra", "yaml", "rich", "submitit"),
)


def run(*arguments: str, module: str = "harness") -> subprocess.CompletedProcess:
    return commands.run([sys.executable, "-m", module, *arguments], timeout=100)


def test_the_console_script_is_the_command():
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    module, name = scripts["harness"].split(":")
    assert list(scripts) == ["harness"] and getattr(import_module(module), name) is main


def test_every_module_that_is_run_is_a_command():
    """A top-level module with a main(), and the __main__ of a package, unless it is the command itself."""
    package = Path(harness.__file__).parent
    modules = [*package.glob("*.py"), *package.glob("*/__main__.py")]
    runnable = {
        ".".join(["harness", *path.relative_to(package).with_suffix("").parts])
        for path in modules
        if re.search(r"^def main\(", path.read_text(), re.MULTILINE)
    }
    listed = {command.module for command in COMMANDS}
    assert runnable - {"harness.cli"} <= listed
    assert all(callable(import_module(module).main) for module in [SWEEP, *runnable, *listed])


def test_help_is_one_screen_and_imports_nothing_heavy(tmp_path):
    code = f"""
import sys, runpy
sys.argv = ["harness", "--help"]
try:
    runpy.run_module("harness", run_name="__main__")
except SystemExit as end:
    assert not end.code, end.code
heavy = set({HEAVY!r}) & set(sys.modules)
assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    lines = done.stdout.splitlines()
    assert 24 <= len(lines) <= 40 and max(map(len, lines)) <= 120
    for command in COMMANDS:
        assert f"  {command.name:<21} {command.help}" in lines
    assert "quickstart" in done.stdout and "hopper_sparse_fp8" in done.stdout


def test_a_sweep_starts_without_the_analysis_and_without_ray():
    """Preflight and dry_run need no analysis: half of a second, of SciPy above all. Only executor=ray needs Ray."""
    loaded = """
import sys
from harness.sweeps.composing import compose
from harness.sweeps import sweep
compose.register()
print(bool({"harness.analysis", "ray"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_version():
    done = subprocess.run([sys.executable, "-m", "harness", "--version"], capture_output=True, text=True, check=False)
    assert done.stdout == f"harness {harness.__version__}\n"


@pytest.mark.parametrize("name", NAMES)
def test_the_help_of_a_command_has_examples(name, capsys, monkeypatch):
    command = next(command for command in COMMANDS if command.name == name)
    module = import_module(command.module)
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    try:
        code = module.main()
    except SystemExit as end:
        code = end.code
    shown = capsys.readouterr().out
    assert code == 0 and shown.startswith(f"usage: harness {name}")
    assert re.search(rf"^    (\w+=\S+ )?harness {name}\b", shown, re.MULTILINE), "an example"
    assert "python -m" not in shown


def test_the_ways_to_call_a_command_are_the_same():
    by_name, by_module = run("report", "nowhere"), run("nowhere", module="harness.report")
    assert by_name.returncode == by_module.returncode == 2
    assert by_name.stderr == by_module.stderr and by_name.stderr.startswith("error: nowhere has no sweep.json")


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("reprot", "error: no command 'reprot'; did you mean 'report'? available: ab, catalogue, check, compare, "),
        (
            "quickstart",
            "error: cannot read 'quickstart' on the command line; to run that sweep, type +sweep=",
        ),
        ("results/quickstart", "error: no command 'results/quickstart'; available: ab, catalogue, "),
    ],
)
def test_a_mistyped_command_is_one_line(word, said):
    done = run(word, "results/x", "--out", "y")
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1
    assert done.stderr.startswith(said)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "error: no sweep chosen: add +sweep=NAME"),
        (("name=x",), "error: sweep x: no model"),
        (("+sweep=quickstrat",), "error: no sweep 'quickstrat'; did you mean 'quickstart'?"),
        (("~model", "+sweep=quickstart"), "error: "),
    ],
)
def test_settings_are_a_sweeps(arguments, said):
    done = run(*arguments)
    assert done.returncode == 2 and done.stderr.startswith(said) and "no command" not in done.stderr


def test_a_sweeps_help_has_its_groups_and_settings():
    done = run("+sweep=quickstart", "--help")
    assert done.returncode == 0 and "Configuration groups" in done.stdout and "variant: bf16" in done.stdout
