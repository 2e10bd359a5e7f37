"""Intervals and tests, without knowledge of what was measured. Pure."""
