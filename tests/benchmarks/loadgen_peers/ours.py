"""This harness's client, in processes of its own like every peer: see ours_cell.py."""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np

from loadgen_peers import Job, Reported
from loadgen_peers.ours_cell import Cell

SCRIPT = Path(__file__).with_name("ours_cell.py")


class Ours:
    title = "harness"
    environment = None

    def command(self, python: Path, job: Job) -> list[str]:
        cell = Cell(
            base_url=job.base_url,
            model=job.model,
            tokenizer=str(job.tokenizer),
            requests=job.requests,
            tokens=job.tokens,
            concurrency=job.streams,
        )
        return command(cell, job.folder, python)

    def reported(self, job: Job) -> Iterator[Reported]:
        return reported(job.folder)


def command(cell: Cell, folder: Path, python: Path = Path(sys.executable)) -> list[str]:
    """Leaves result.json in `folder`, and tokens.jsonl where the cell keeps tokens."""
    (folder / "cell.json").write_text(json.dumps(asdict(cell)))
    return [str(python), str(SCRIPT), str(folder)]


def result(folder: Path) -> dict:
    return json.loads((folder / "result.json").read_text())


def reported(folder: Path) -> Iterator[Reported]:
    with (folder / "tokens.jsonl").open() as file:
        for line in file:
            row = json.loads(line)
            if row["error"] is None:
                at_ns = np.asarray(row["token_s"]) * 1e9 + row["start_ns"]
                yield Reported(row["request_id"], np.arange(len(at_ns)), at_ns)
