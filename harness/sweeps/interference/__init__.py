"""The test whether sessions that run at once on a machine disturb each other."""
