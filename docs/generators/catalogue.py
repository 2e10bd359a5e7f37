"""The page of the variants, scenarios, suites and sweeps that conf/ holds."""

from pathlib import Path

import yaml

from docs.generators.markdown import table
from harness import catalogue
from harness.config.catalogue import variants
from harness.paths import conf_dir

HEAD = """\
# Catalogue

What `conf/` holds: choose with `'variant=[bf16,w4a16]'`, `'suite=[mmlu]'`, `'scenario=[chat_512_256]'`. A file of the
same form in a `conf/` folder where you start the harness adds an entry or replaces one.

## Variants

*kernels on NVIDIA*: what preflight asks for. *on a CPU*: how vLLM's CPU build computes it: *emulated* gives the
scheme's answers and not its speed, *dense* multiplies the zeros of 2:4 weights.

"""
SCENARIOS = """
## Scenarios

The lengths are in the name: `chat_512_256` has 512 prompt tokens and 256 output tokens. *SLO*: p99, the default of the
capacity search and of the charts.

"""
SUITES = """
## Suites

"""
SWEEPS = """
## Sweeps

"""


def page() -> str:
    """Return Markdown with one table for each group of conf/."""
    scenarios = table(("scenario", "workload", "text", "SLO"), map(_scenario, _files("scenario")))
    suites = table(("suite", "what it is"), [(f"`{path.stem}`", _comment(path)) for path in _files("suite")])
    sweeps = table(("sweep", "what it is"), [(f"`{path.stem}`", _comment(path)) for path in _files("sweep")])
    return HEAD + catalogue.table(variants()) + "\n" + SCENARIOS + scenarios + SUITES + suites + SWEEPS + sweeps


def _files(group: str) -> list[Path]:
    return sorted((conf_dir() / group).glob("*.yaml"))


def _comment(path: Path) -> str:
    """The comment at the head of a file, up to its first indented line, in whole sentences."""
    lines: list[str] = []
    for line in path.read_text().splitlines():
        if line.startswith("# @package"):
            continue
        if not line.startswith("#") or line.startswith("#  "):
            break
        lines.append(line.removeprefix("#").strip())
    text = " ".join(lines)
    return text[: text.rfind(". ") + 1] if text.endswith(":") else text


def _scenario(path: Path) -> tuple[str, str, str, str]:
    values = yaml.safe_load(path.read_text())
    slo = ", ".join(f"`{name}` {limit}" for name, limit in values.get("slo", {}).items())
    return f"`{path.stem}`", _comment(path), str(values.get("text", "prose")), slo
