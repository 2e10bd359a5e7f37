"""Tests model-written code in the sandbox, several at a time, and says which answer is to blame when one breaks it.

Each sandbox works through its share in order. When it dies, falls silent or breaks a limit, the sample that it had
begun has failed (nothing of an earlier sample is alive by then), and the rest go to a new sandbox.
"""

import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.accuracy.sandbox import Finished, Limits, Sandbox
from harness.errors import CellError

WORKER = Path(__file__).with_name("humaneval_worker.py")
SILENCE_S = 150.0  # evalplus gives a sample at most 62 s on base and 62 s on plus tests
SAMPLES_PER_SANDBOX = 8  # at least; one starts in a second


@dataclass(frozen=True)
class Verdict:
    """`base` and `plus`: pass, fail, timeout, or what its sandbox was killed for; `plus` None where it was not run."""

    solution: str
    parsed: bool  # a function of the entry point's name was found
    base: str
    plus: str | None


def evaluate(
    problems: dict[str, dict[str, Any]],
    codes: dict[str, str],
    *,
    plus: bool,
    sandbox: Sandbox,
    work_dir: Path,
    timeout_s: float,
    progress: Any = lambda done, total: None,
) -> dict[str, Verdict]:
    """`codes`: raw text with code, by task id. Raises CellError when evaluation itself fails, or takes too long."""
    deadline = time.monotonic() + timeout_s
    names = list(codes)
    count = max(1, min(os.cpu_count() or 1, 8, len(names) // SAMPLES_PER_SANDBOX))
    verdicts: dict[str, Verdict] = {}

    def work(share: int) -> None:
        pending = names[share::count]
        attempt = 0
        while pending:
            folder = work_dir / f"sandbox-{share}-{attempt}"
            attempt += 1
            done = _run({n: problems[n] for n in pending}, codes, plus, sandbox, folder, deadline)
            verdicts.update(done)
            pending = [name for name in pending if name not in done]
            progress(len(verdicts), len(names))

    with ThreadPoolExecutor(count) as pool:
        for future in [pool.submit(work, share) for share in range(count)]:
            future.result()
    return {name: verdicts[name] for name in names}


def _run(
    problems: dict[str, dict[str, Any]], codes: dict[str, str], plus: bool, sandbox: Sandbox, folder: Path,
    deadline: float,
) -> dict[str, Verdict]:  # fmt: skip
    """Verdicts of the samples that this sandbox finished or broke on: at least one."""
    (mount := folder / "inside").mkdir(parents=True)
    data, job = folder / "problems.jsonl", folder / "job.json"
    data.write_text("".join(json.dumps(problem) + "\n" for problem in problems.values()))
    samples = [{"id": n, "entry_point": p["entry_point"], "code": codes[n]} for n, p in problems.items()]
    host = os.readlink("/proc/self/ns/pid")
    job.write_text(json.dumps({"samples": samples, "plus": plus, "host_pid_namespace": host}))
    for path in (data, job):
        path.chmod(0o644)  # the sandbox may run as another user
    files = {"/input/worker.py": WORKER, "/input/problems.jsonl": data, "/input/job.json": job}
    inside = {path: sandbox.inside(path, files) for path in files}
    finished = sandbox.run(
        [sys.executable, "-I", inside["/input/worker.py"], inside["/input/job.json"]],
        files=files,
        limits=Limits(wall_s=max(0.0, deadline - time.monotonic()), silence_s=SILENCE_S),
        environment={
            "HUMANEVAL_OVERRIDE_PATH": inside["/input/problems.jsonl"],
            "XDG_CACHE_HOME": str(mount / "cache") if not sandbox.isolates else "/tmp/cache",
            "EVALPLUS_MAX_MEMORY_BYTES": "-1",  # the sandbox limits it, as low; evalplus would try to raise it
        },
        work_dir=mount,
    )
    return _read(finished, list(problems))


def _read(finished: Finished, names: list[str]) -> dict[str, Verdict]:
    verdicts: dict[str, Verdict] = {}
    begun = None
    for line in finished.stdout.decode(errors="replace").splitlines():
        try:
            said = json.loads(line)
        except ValueError:
            continue  # cut off
        if "start" in said:
            begun = said["start"]
        elif "id" in said:
            verdicts[said["id"]] = Verdict(said["solution"], said["parsed"], said["base"], said["plus"])
    if len(verdicts) == len(names):
        return verdicts
    if finished.ended == "wall":
        raise CellError(f"the code was not evaluated within timeout_s; {len(names) - len(verdicts)} samples are left")
    if begun is None or begun in verdicts:
        last = finished.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise CellError(f"evalplus failed in the sandbox ({finished.ended}, exit code {finished.returncode}): {last}")
    status = "crash" if finished.ended == "exit" else finished.ended
    return {**verdicts, begun: Verdict("", False, status, None)}
