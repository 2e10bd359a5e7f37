"""Instructions of the load client per streamed token, counted by callgrind: nearly the same on a busy machine.

    python tests/benchmarks/client_instructions.py [CHECKOUT ...]

Each checkout of this repository (default: this one) runs its own client, under valgrind, with the Python that runs
this script, against one slow server: 8 streams, a token every 20 ms, nearly every token a read. Two runs that differ in
their number of requests give the instructions per token, without those of the start. `worker`: while tokens come in;
`parent`: planning, reading the traces, computing the metrics. A ratio to the first checkout compares versions where
times do not: on two shared cores, the CPU time of the same run varies by 50 %. A busy machine changes how often both
wake up: the worker's count by 5 % (40,400 to 43,100 for one version), the parent's by 25 %. Five minutes a checkout.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from loadgen_peers.ours_cell import Cell
from loadgen_rows.known_server import MODEL, known_server
from loadgen_rows.setup import prepare

from harness.errors import HarnessError

HERE = Path(__file__).parents[2]
TOKENS, STREAMS, GAP_MS, TTFT_MS = 63, 8, 20.0, 100.0
FEW, MANY = 16, 144  # requests
WORKER, PARENT = "worker", "parent"
TOTAL, COMMAND = (re.compile(pattern, re.M) for pattern in (r"^(?:totals|summary): (\d+)", r"^cmd: (.*)$"))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("checkouts", nargs="*", type=Path, default=[HERE], help="folders; default: this one")
    parser.add_argument("--cache", type=Path, default=Path("~/.cache/harness/benchmarks"), help="checkpoints")
    options = parser.parse_args()
    if not shutil.which("valgrind"):
        print("error: valgrind is not installed: apt-get install valgrind", file=sys.stderr)
        return 2
    if missing := [folder for folder in options.checkouts if not (folder / "tests/benchmarks/loadgen_peers").is_dir()]:
        print(f"error: {missing[0]}: no checkout with tests/benchmarks/loadgen_peers", file=sys.stderr)
        return 2
    try:
        with tempfile.TemporaryDirectory(prefix="harness-instructions-") as work:
            tokenizer = prepare([], {}, None, options.cache.expanduser(), Path(work), 1, print).tokenizer
        found = {folder: per_token(folder.resolve(), tokenizer) for folder in options.checkouts}
    except HarnessError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    first = next(iter(found.values()))
    print("| checkout | " + " | ".join(f"{part}, instructions per token" for part in (WORKER, PARENT, "both")) + " |")
    print("|---|---:|---:|---:|")
    for folder, counts in found.items():
        cells = [f"{count:,.0f} ({count / first[part]:.3f}×)" for part, count in counts.items()]
        print(f"| {folder} | {' | '.join(cells)} |")
    return 0


def per_token(checkout: Path, tokenizer: Path) -> dict[str, float]:
    few, many = (instructions(checkout, tokenizer, requests) for requests in (FEW, MANY))
    counts = {part: (many[part] - few[part]) / ((MANY - FEW) * TOKENS) for part in (WORKER, PARENT)}
    return counts | {"both": sum(counts.values())}


def instructions(checkout: Path, tokenizer: Path, requests: int) -> Counter[str]:
    """Of one run, start included. Raises HarnessError."""
    with tempfile.TemporaryDirectory(prefix="harness-instructions-") as name:
        folder = Path(name)
        with known_server(folder, GAP_MS, TTFT_MS) as known:
            cell = Cell(known.base_url, MODEL, str(tokenizer), requests, TOKENS, concurrency=STREAMS, timeout_s=600)
            (folder / "cell.json").write_text(json.dumps(asdict(cell)))
            script = checkout / "tests/benchmarks/loadgen_peers/ours_cell.py"
            command = ["valgrind", "--tool=callgrind", "--trace-children=yes", f"--callgrind-out-file={folder}/cg.%p"]
            environment = os.environ | {"PYTHONPATH": str(checkout), "PYTHONHASHSEED": "0"}
            done = subprocess.run(
                [*command, sys.executable, str(script), name],
                cwd=checkout, env=environment, capture_output=True, text=True, check=False,
            )  # fmt: skip
        if done.returncode:
            raise HarnessError(f"{checkout}: the client ended with exit code {done.returncode}: {done.stderr[-300:]}")
        completed = json.loads((folder / "result.json").read_text())["requests_completed"]
        if completed != requests:
            raise HarnessError(f"{checkout}: {completed} of {requests} requests were completed")
        counted: Counter[str] = Counter()
        for path in folder.glob("cg.*"):
            text = path.read_text(errors="replace")
            command_line, total = COMMAND.search(text), TOTAL.search(text)
            if command_line and total:
                counted[WORKER if "client.worker" in command_line[1] else PARENT] += int(total[1])
        return counted


if __name__ == "__main__":
    sys.exit(main())
