"""Disturb small studies at random moments, and see what of them is lost: python tests/benchmarks/chaos.py

Each trial starts a study, does one thing to it (kinds below), and then runs the same command again. Per kind:

    survived     the command run again ends with exit code 0, every cell is measured, nothing hangs and no run prints a
                 traceback
    lost         a stored cell is gone
    repeated     a valid cell is measured twice, or its stored record or rows change
    left behind  processes that still run, or temporary files

Exit code 1 unless every trial survives and the other three are 0. A full disk is a small tmpfs, which takes root to
mount; for other users these kinds are left out, and `file size limit` (RLIMIT_FSIZE) remains.
"""

import argparse
import contextlib
import itertools
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from chaos_rows import disks
from chaos_rows.study import make_model
from chaos_rows.trial import FULL, KINDS, Verdict, trial, typical

NICE = 15


def main() -> int:
    arguments = _parser().parse_args()
    os.nice(max(0, NICE - os.nice(0)))
    with _folder(arguments.keep) as folder:
        model = make_model(folder / "model")
        (probe := folder / "probe").mkdir()
        kinds = [kind for kind in arguments.only or KINDS if kind not in FULL or disks.can_mount(probe)]
        way = "a tmpfs that is filled" if set(FULL) & set(kinds) else "RLIMIT_FSIZE alone (no right to mount a tmpfs)"
        roots = [folder / f"undisturbed-{number}" for number in range(arguments.jobs)]
        with ThreadPoolExecutor(arguments.jobs) as pool:  # as many at a time as trials will be
            seconds = max(pool.map(partial(typical, model=model), roots))
        print(f"an undisturbed run takes {seconds:.1f} s; seed {arguments.seed}; full disks by {way}", file=sys.stderr)
        found: list[Verdict] = []

        def run(number: int, kind: str) -> None:
            root = folder / f"{number:03}-{arguments.seed}-{kind.replace(' ', '_')}"
            verdict = trial(kind, arguments.seed, root, model, seconds)
            found.append(verdict)
            print(_line(number + 1, verdict), file=sys.stderr, flush=True)
            if _clean(verdict):
                shutil.rmtree(root)

        chosen = itertools.islice(itertools.cycle(kinds), arguments.trials)
        with ThreadPoolExecutor(arguments.jobs) as pool:
            futures = [pool.submit(run, number, kind) for number, kind in enumerate(chosen)]
            try:
                for future in futures:
                    future.result()
            except KeyboardInterrupt:
                print("interrupted: the trials under way are ended, and the table is of those so far", file=sys.stderr)
                pool.shutdown(cancel_futures=True)
    print(table(found))
    return 0 if all(map(_clean, found)) else 1


def table(found: list[Verdict]) -> str:
    """In Markdown."""
    lines = ["| kind | tried | survived | lost | repeated | left behind |", "|---|---|---|---|---|---|"]
    groups = {kind: [one for one in found if one.kind == kind] for kind in KINDS}
    for kind, verdicts in [*groups.items(), ("all", found)]:
        if verdicts:
            counts = [sum(len(getattr(one, name)) for one in verdicts) for name in ("lost", "repeated", "left")]
            figures = [len(verdicts), sum(one.survived for one in verdicts), *counts]
            lines.append(f"| {kind} | {' | '.join(map(str, figures))} |")
    return "\n".join(lines)


def _clean(verdict: Verdict) -> bool:
    return verdict.survived and not (verdict.lost or verdict.repeated or verdict.left)


def _line(number: int, verdict: Verdict) -> str:
    wrong = [verdict.why] if verdict.why else []
    for name in ("lost", "repeated", "left"):
        if entries := getattr(verdict, name):
            wrong.append(f"{name}: {', '.join(entries)}")
    return f"{number:4} {verdict.kind}: exit codes {verdict.codes}, {'; '.join(wrong) or 'survived'}"


@contextlib.contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    """Where trials run: a new temporary folder, or below `--keep`, where those that fail stay."""
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="chaos-") as name:
            yield Path(name)
    else:
        keep.mkdir(parents=True, exist_ok=True)
        yield Path(tempfile.mkdtemp(prefix="chaos-", dir=keep))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=len(KINDS) * 8, help="in all, the kinds in turn")
    parser.add_argument("--jobs", type=int, default=1, help="trials at a time (default 1)")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10_000), help="default: random")
    parser.add_argument(
        "--only", action="append", choices=KINDS, metavar="KIND", help="repeatable: " + ", ".join(KINDS)
    )
    parser.add_argument("--keep", type=Path, help="a folder where the files of trials that fail stay")
    return parser


if __name__ == "__main__":
    sys.exit(main())
