"""The tables of the report, as data."""
