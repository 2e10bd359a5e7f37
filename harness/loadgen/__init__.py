"""Serving performance: which load points a scenario is measured at (profiles.py), and how one is measured (measure.py).

    traffic -> client (stamps and bytes) -> sse (token times) -> metrics, flags -> Outcome

Empty, because the workers of the client are inside it: a study starts one for every load cell.
"""
