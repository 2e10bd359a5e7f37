"""python -m harness.selftest: whether this machine's load client can measure what a sweep would ask.

The real client runs against the simulated server in its fixed-schedule mode, which says in every token when it sent
it. What differs from that is the client's error (`checks.py`); what a sweep asks for is in `needs.py`.
"""
