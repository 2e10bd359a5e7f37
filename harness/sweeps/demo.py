"""Show a whole report in a minute, without GPU, weights or network.

    harness demo
    harness demo 'variant=[bf16,fp8_dynamic]' load.repeats=3

It runs conf/sweep/demo.yaml: four variants of an 8B model on a simulated H100, with the pocket suites. Random words
answer, so accuracy is at chance; the report is marked SIMULATED. Exit codes are those of a sweep.
"""

import inspect
import os
import sys

from harness.console.output import masked_main


def main() -> int:
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(f"usage: harness demo [KEY=VALUE ...]\n\n{inspect.cleandoc(__doc__)}")
        return 0
    os.environ["HF_HUB_OFFLINE"] = "1"  # nothing of it is on the hub
    from harness.sweeps.command import main as run

    sys.argv[1:] = ["+sweep=demo", *sys.argv[1:]]
    return run()


if __name__ == "__main__":
    sys.exit(masked_main(main))
