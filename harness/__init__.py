"""Accuracy-versus-performance studies of compressed LLMs.

import harness
study = harness.load("results/quickstart")
study.recovery, study.points, study.cells, study.items, study.requests     # pandas DataFrames
study.report("report")
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from harness.frames import Frames

__version__ = "0.1.0"
__all__ = ["__version__", "load"]


def load(results: "str | Path") -> "Frames":
    """Return the results of a sweep, a folder under results/, as pandas DataFrames.

    Raises ConfigError when it is not the folder of a sweep, or one that this version cannot read.
    """
    from harness.frames import Frames  # here: `harness --help` imports no pandas

    return Frames(results)
