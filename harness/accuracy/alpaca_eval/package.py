"""Where alpaca-eval is installed: its prompts and its leaderboard are read without importing it, which is slow."""

from importlib.util import find_spec
from pathlib import Path

from harness.errors import CellError


def package_folder() -> Path:
    """Raise CellError where alpaca-eval is not installed."""
    spec = find_spec("alpaca_eval")
    if spec is None or spec.origin is None:
        raise CellError("alpaca-eval is not installed; pip install alpaca-eval")
    return Path(spec.origin).parent
