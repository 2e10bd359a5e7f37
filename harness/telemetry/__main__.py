"""Show the GPUs as a sweep's telemetry reads them, and what preflight would report of each.

    harness telemetry
    CUDA_VISIBLE_DEVICES=1 harness telemetry

Exit codes: 0 also without NVML, 1 a GPU that NVML cannot read.
"""

import os
import sys

from harness.console.arguments import command_parser
from harness.console.output import masked_main
from harness.machine import nvml as access
from harness.machine.devices import visible
from harness.telemetry.problems import problems
from harness.telemetry.reasons import names


def main() -> int:
    command_parser("telemetry", __doc__).parse_args()
    try:
        with access.opened() as nvml:
            seen = visible(access.gpus(nvml), os.environ)
            print(", ".join(f"{what} {version}" for what, version in access.versions(nvml).items()))
            for device in seen.devices:
                facts, reading = access.facts(nvml, device), access.reading(nvml, device)
                bits = reading["reasons"]
                reasons = None if bits is None else ", ".join(names(bits)) or "none"
                told = {**facts, **reading, "reasons": reasons}
                print(device.title)
                for key, value in told.items():
                    print(f"  {key:<24} {'not told' if value is None else value}")
    except access.NvmlFault as fault:
        print(f"{fault}: a GPU of this machine is not well, nvidia-smi says which", file=sys.stderr)
        return 1
    except access.NvmlAbsent as absent:
        print(f"no NVML on this machine: {absent}")
        return 0
    for line in problems(os.environ, {"a server": len(seen.devices)}):
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(masked_main(main))
