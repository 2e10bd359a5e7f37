"""The study that the trials disturb: two variants, one scenario, six cells of a second or less."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

NAME = "chaos"
CELLS = 2 * 3  # variants x (single stream, throughput, one rate)
MARK = "HARNESS_CHAOS"  # in the environment of everything that a trial starts
FOLDERS = ("results", "reports", "cache", "tmp")
REPOSITORY = Path(__file__).resolve().parents[3]


def make_model(folder: Path) -> Path:
    """A checkpoint whose tokenizer is real and small; nothing reads its weights."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE(vocab={char: index for index, char in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)
    (folder / "config.json").write_text('{"model_type": "llama"}')
    header = b"{}      "
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    return folder


@dataclass(frozen=True)
class Study:
    """`root` holds FOLDERS. `engine`: settings of the engine, the simulated one or an endpoint."""

    root: Path
    model: Path
    mark: str
    engine: tuple[str, ...]

    @property
    def command(self) -> list[str]:
        return [
            *(sys.executable, "-m", "harness", "+sweep=quickstart", *self.engine, f"model={self.model}"),
            *(f"name={NAME}", "progress=plain", "variant=[bf16,fp8_dynamic]", "suite=[]", "judge=null"),
            *("scenario=[rag_256_8]", "noise_runs=0", "load.rates_rps=[20]", "load.duration_s=0.4"),
            *("load.min_requests=4", "load.single_stream_requests=2", "load.throughput_requests=8", "load.repeats=1"),
            *("load.capacity.probes=0", "mlflow.enabled=false"),
            *(f"{name}_dir={self.root / name}" for name in ("results", "reports", "cache")),
        ]

    def start(self, output: Path, prepare: Callable[[], None] | None = None) -> subprocess.Popen:
        """In a process group of its own, as a shell starts a command in the foreground."""

        def before_exec() -> None:
            for number in (signal.SIGINT, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            if prepare:
                prepare()

        environment = {**os.environ, MARK: self.mark, "TMPDIR": str(self.root / "tmp"), "PYTHONPATH": str(REPOSITORY)}
        with output.open("ab") as file:
            return subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=environment, cwd=self.root,
                process_group=0, preexec_fn=before_exec,
            )  # fmt: skip

    def cells(self) -> dict[str, str]:
        """The digest of every stored record and its rows, by the cell's key."""
        found = {}
        for path in (self.root / "results" / NAME / "cells").glob("*--*/record.json"):
            record = path.read_bytes()
            rows = (path.parent / "rows.jsonl.gz").read_bytes()
            found[json.loads(record)["cell"]["key"]] = sha256(record + rows).hexdigest()
        return found

    def retried(self) -> set[str]:
        """The keys of cells that a run measured again because their first record was invalid."""
        paths = (self.root / "results" / NAME / "cells").glob("*--*/record.json")
        records = [json.loads(path.read_bytes()) for path in paths]
        return {one["cell"]["key"] for one in records if "measured_again" in {flag["code"] for flag in one["flags"]}}

    def temporary(self) -> list[Path]:
        """Files and folders that only a run may have: temporary, hidden work, records of processes."""
        root = self.root
        found = [path for path in (root / "tmp").iterdir() if path.name != "lost+found"]
        patterns = (".cell-*", "logs/.running-*", ".*.json-*", "failures/.*")
        found += [path for pattern in patterns for path in (root / "results" / NAME).glob(pattern)]
        found += [path for path in (root / "reports").rglob(".*") if path.name != ".files.json"]
        return found + [path for path in (root / "cache").rglob(".*-*")]


def processes(mark: str) -> dict[int, str]:
    """What a trial started and still runs: command line by pid."""
    found = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            environment = Path(f"/proc/{entry}/environ").read_bytes().split(b"\0")
            if f"{MARK}={mark}".encode() in environment and state(int(entry)) != "Z":
                found[int(entry)] = Path(f"/proc/{entry}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
    return found


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def ended(process: subprocess.Popen, within_s: float) -> bool:
    try:
        process.wait(within_s)
    except subprocess.TimeoutExpired:
        return False
    return True


def wait_for(condition: Callable[[], object], within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False
