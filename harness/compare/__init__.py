"""python -m harness.compare A B: two sweeps or two variants side by side, with gates for CI. Reads stores only."""
