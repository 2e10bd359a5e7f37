"""Stores of several nights: the synthetic sweep, whose starts differ as real ones do."""

from pathlib import Path

import numpy as np

from tests.unit.compare.two_sweeps import store

SLOWER = ("itl_ms", "ttft_ms", "tpot_ms", "e2e_ms")  # times grow with a start's factor; rates shrink


def night(root: Path, number: int, sd: float = 0.01, slower: float = 1.0, **options) -> Path:
    """One start for each variant: all of its times at all of its load points have one factor, and a little each."""
    rng = np.random.default_rng([23, number])

    def change(_manifest, records, _rows):
        starts = {record["cell"]["variant"]: slower * np.exp(rng.normal(0, sd)) for record in records}
        for record in (r for r in records if r["cell"]["kind"] == "load"):
            record["started_at"] = f"2026-11-{number:02d}T02:00:00+00:00"
            factor = starts[record["cell"]["variant"]] * np.exp(rng.normal(0, sd / 4))
            for name in record["result"]:
                if name.startswith(SLOWER):
                    record["result"][name] *= factor
                elif name.endswith("tok_per_s"):
                    record["result"][name] /= factor

    return store(root, change=change, **options)
