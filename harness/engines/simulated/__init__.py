"""`engine=simulated`: an OpenAI-compatible streaming server whose service process is known.

    hardware, shapes, schemes -> roofline (how long a step takes) -> batching (who is in it)
      -> pacing (when tokens are due; replicas) -> server (sends them)

It needs no weights and no accelerator. What it measures is the harness: plans, client, statistics, report. Everything
that comes of it is marked SIMULATED.
"""
