"""Print what this machine is, as JSON, for a sweep that is planned on another one: `python -m harness.machine.node`.

`--shared FILE ...` prints for each file whether it is here: a folder that the machines should share.
"""

import argparse
import json
import os
import sys

from harness.machine.host import Node


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", nargs="*", default=[], metavar="FILE")
    shared = parser.parse_args().shared
    lacks = [file for file in shared if not os.path.exists(file)]
    print(json.dumps({"host": os.uname().nodename, "node": Node.here().to_json(), "lacks": lacks}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
