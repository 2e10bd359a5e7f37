"""Takes samples of GPUs until its input closes: python -m harness.telemetry.worker '{"devices": [...], ...}'

A separate process, because a thread would share the interpreter with the suites and the load client's parent, and
because an NVML call on a GPU that hangs does not come back: a process can be given up on. It has the lowest ordinary
priority and sleeps between samples; not SCHED_IDLE, since NVML holds a lock of the driver while it answers, and the
engine would wait for a holder that never runs. Four samples a second: NVML's own power figure is a mean over a second,
and energy comes from a counter, whatever the rate.

Output: JSON lines. The first is {"facts": [...]} of the devices; then one a sample and device, {"t": seconds on
CLOCK_MONOTONIC, "device": position, ...nvml.reading}, about once a second with "processes".
"""

import json
import os
import select
import sys
import time
from collections.abc import Mapping
from typing import Any

from harness.machine import nvml as access
from harness.machine.devices import Device
from harness.machine.gpu_readings import GpuProcess, Sample
from harness.telemetry.processes import descends, name_of

NICE = 19
LOOK_EVERY = 4  # samples from one look at the processes to the next: listing them costs more than a reading


def main() -> int:
    job = json.loads(sys.argv[1])
    devices = [Device(**device) for device in job["devices"]]
    os.nice(NICE)
    try:
        with access.opened() as nvml:
            _say({"facts": [access.facts(nvml, device) for device in devices]})
            take(nvml, devices, job["interval_s"], job["harness_pid"])
    except access.NvmlAbsent as reason:
        print(reason, file=sys.stderr)
        return 1
    return 0


def take(nvml: Any, devices: list[Device], interval_s: float, harness_pid: int) -> None:
    due, count = time.monotonic(), 0
    while not _closed(max(0.0, due - time.monotonic())):
        for position, device in enumerate(devices):
            sample: Sample = {"t": time.monotonic(), "device": position, **access.reading(nvml, device)}
            if count % LOOK_EVERY == 0 and (found := access.processes(nvml, device)) is not None:
                sample["processes"] = [_told(process, harness_pid) for process in found]
            _say(sample)
        count += 1
        due = max(due + interval_s, time.monotonic())  # never two at once to make up for a late one


def _told(process: GpuProcess, harness_pid: int) -> GpuProcess:
    return {**process, "name": name_of(process["pid"]), "own": descends(process["pid"], harness_pid)}


def _closed(timeout_s: float) -> bool:
    readable, _, _ = select.select([0], [], [], timeout_s)
    return bool(readable) and not os.read(0, 1)


def _say(line: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(line, separators=(",", ":")) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
