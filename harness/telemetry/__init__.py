"""What the GPUs did while a cell was measured: power, clocks, memory, throttling, other people's processes.

    reasons.py   why clocks are below the maximum: the names of NVML's bits (pure)
    worker.py    takes samples, in a separate process
    sampler.py   starts it for a session of the plan, and reads a cell's samples
    summary.py   samples -> the record's `telemetry` (pure), whose form is in summary_types.py
    flags.py     summary -> flags (pure)
    processes.py whose the processes on a GPU are
    problems.py  what must be known of GPUs before an engine starts

machine/nvml.py asks NVML, machine/devices.py knows which GPUs CUDA shows a server. NVML that is not there, and a field
that a card does not have, are absent data: no key, or None, and never zero.
"""
