"""A sweep from its configuration to its records: compose, plan, preflight, run."""
