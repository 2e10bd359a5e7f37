"""Accuracy suites beside lm-eval's own command and the bare engine; coverage and speed of the statistics.

    python tests/benchmarks/accuracy.py [--only ROW,...] [--data DIR] [--items N] [--concurrency N] [--json FILE]

Prints the table of README.md, which lies beside this file and says what the figures are. Starts the quickstart's engine
(vLLM on CPU; made on the first run). Exit code 1 when a figure misses its reach.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

from accuracy_rows import bare, coverage, same_items
from accuracy_rows.served import Served, served
from table import Row, markdown

from harness.errors import ConfigError, HarnessError, did_you_mean
from harness.machine import host

ON_THE_ENGINE: dict[str, Callable[[Served, argparse.Namespace], Iterator[Row]]] = {
    "mmlu": lambda s, o: same_items.mmlu(s, o.items, o.repeats),
    "gsm8k": lambda s, o: same_items.gsm8k(s, min(o.items, 60), o.max_tokens),
    "gsm8k_time": lambda s, o: bare.generation_time(s, "gsm8k", o.items, o.max_tokens, o.repeats),
    "humaneval_time": lambda s, o: bare.generation_time(s, "humaneval", o.items, o.max_tokens, o.repeats),
}
ALONE: dict[str, Callable[[argparse.Namespace], Iterator[Row]]] = {
    "coverage": lambda o: coverage.coverage(o.studies, _say),
    "bootstrap": lambda o: coverage.bootstrap(_say),
}
SERIAL = "gsm8k"  # one request at a time: greedy decoding repeats itself only then


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", default=",".join([*ON_THE_ENGINE, *ALONE]), help="rows; default: all of them")
    parser.add_argument("--data", default="pocket", help="a mirror with mmlu/, gsm8k/, humaneval/; default: pocket")
    parser.add_argument("--items", type=int, default=100, help="of each suite")
    parser.add_argument("--max-tokens", type=int, default=128, help="of each generated answer")
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3, help="of what is timed")
    parser.add_argument("--studies", type=int, default=1000, help="simulated, of each world")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override of the quickstart")
    parser.add_argument("--json", type=Path, help="write every figure here")
    options = parser.parse_args()
    try:
        rows = list(run(options))
    except HarnessError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    titles = dict.fromkeys(name for row in rows for name in row.values)
    print(markdown(rows, {name: name for name in titles}))
    facts = host.facts()
    print(f"\n{facts['cpu']}, {facts['cores']} cores, {facts['memory_gib']} GiB, Python {facts['python']}")
    if options.json:
        options.json.write_text(json.dumps({"machine": facts, "rows": [asdict(row) for row in rows]}, indent=1) + "\n")
    return 1 if any(row.ok is False for row in rows) else 0


def run(options: argparse.Namespace) -> Iterator[Row]:
    wanted = [name.strip() for name in options.only.split(",") if name.strip()]
    for name in wanted:
        if name not in ON_THE_ENGINE | ALONE:
            raise ConfigError(f"--only {name}{did_you_mean(name, [*ON_THE_ENGINE, *ALONE])}")
    if min(options.items, options.repeats, options.studies, options.concurrency, options.max_tokens) < 1:
        raise ConfigError("--items, --repeats, --studies, --concurrency and --max-tokens are at least 1")
    for name in wanted:
        if name in ALONE:
            yield from ALONE[name](options)
    with tempfile.TemporaryDirectory(prefix="harness-accuracy-") as folder:
        for serial in (False, True):
            rows = [name for name in wanted if name in ON_THE_ENGINE and (name == SERIAL) == serial]
            if rows:
                concurrency = 1 if serial else options.concurrency
                work = Path(folder) / f"in-flight-{concurrency}"
                work.mkdir()
                with served(options.set, options.data, concurrency, work, _say) as started:
                    for name in rows:
                        yield from ON_THE_ENGINE[name](started, options)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
