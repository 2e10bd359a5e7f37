"""What the GPUs did while a cell was measured: power, clocks, memory, throttling, other people's processes.

    nvml.py      the only module that knows NVML (NVIDIA Management Library, package nvidia-ml-py)
    devices.py   which GPUs CUDA shows a server: CUDA_VISIBLE_DEVICES (pure)
    sessions.py  which of them the sessions of a plan use
    reasons.py   why clocks are below the maximum: the names of NVML's bits (pure)
    worker.py    takes samples, in a process of its own
    sampler.py   starts it for a session of the plan, and reads a cell's samples
    summary.py   samples -> the record's `telemetry` (pure)
    validity.py  summary -> flags (pure)
    processes.py whose the processes on a GPU are
    preflight.py what must be known of GPUs before an engine starts

NVML that is not there, and a field that a card does not have, are absent data: no key, or None, and never zero.
"""
