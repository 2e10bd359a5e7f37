"""The rows of the benchmark's table, and what they need: a known server, a measured process, errors of time stamps."""
