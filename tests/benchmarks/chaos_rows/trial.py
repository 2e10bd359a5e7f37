"""One trial: a run that is disturbed, the same command again, and what is left."""

import contextlib
import os
import random
import re
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from chaos_rows import disks
from chaos_rows.server import FAULTS, Server
from chaos_rows.study import CELLS, FOLDERS, Study, ended, processes, wait_for

SIMULATED = ("engine=simulated", "engine.gap_ms=2", "engine.ttft_ms=5", "engine.stop_grace_s=2",
             "engine.startup_timeout_s=600", "load.request_timeout_s=60", "load.cell_timeout_s=120")  # fmt: skip
ENGINE, WORKER, WATCHDOG = "simulated.server", "harness.loadgen.client.worker", "engines/watchdog.py"
SESSION, SIDE_BY_SIDE = "harness.executors.worker", ("executor.gpus=[0,1]", "executor.colocate=all")
OURS = "/harness/"  # in a path of a traceback: a signal before our first line ends in Python's own
HANGS_S = 300.0  # beyond four times what an undisturbed run takes
GONE_S = 20.0  # for what a killed run started to end by itself
MEASURED = re.compile(r"^\[ *[\d:]+\] \d+/\d+ (\S+): (?:measured|invalid)", re.MULTILINE)


@dataclass
class Disturbed:
    """A run under way. `pids(part)`: its processes of that kind; a watchdog's command line holds the engine's."""

    study: Study
    output: Path
    rng: random.Random
    typical_s: float  # that an undisturbed run takes
    running: list = field(default_factory=list)

    def start(self, prepare: Callable[[], None] | None = None):
        self.running.append(self.study.start(self.output, prepare))
        return self.running[-1]

    @property
    def main(self):
        return self.running[0]

    def any_moment(self) -> None:
        """Sleep until a random moment of the run."""
        wait_for(lambda: self.main.poll() is not None, self.rng.uniform(0.0, self.typical_s))

    def pids(self, part: str) -> list[int]:
        found = processes(self.study.mark).items()
        return [pid for pid, line in found if part in line and (WATCHDOG in line) == (part == WATCHDOG)]

    def moment_of(self, part: str) -> int | None:
        """Sleep until a random moment at which a process of that kind is there; its pid."""
        self.any_moment()
        found: list[int] = []
        wait_for(lambda: found.extend(self.pids(part)) or found or self.main.poll() is not None, self.typical_s * 2)
        return next(iter(found), None)


def send(pid: int | None, number: int) -> None:
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def kill(part: str) -> Callable[[Disturbed], None]:
    def disturb(run: Disturbed) -> None:
        run.start()
        send(run.moment_of(part), signal.SIGKILL)

    return disturb


def pause(part: str | None) -> Callable[[Disturbed], None]:
    """SIGSTOP, and SIGCONT up to three seconds later."""

    def disturb(run: Disturbed) -> None:
        run.start()
        pid = run.moment_of(part) if part else (run.any_moment() or run.main.pid)
        send(pid, signal.SIGSTOP)
        time.sleep(run.rng.uniform(0.1, 3.0))
        send(pid, signal.SIGCONT)

    return disturb


def end(number: int, times: int = 1) -> Callable[[Disturbed], None]:
    """A signal to the foreground process group, as the terminal sends it; repeated up to a second later."""

    def disturb(run: Disturbed) -> None:
        run.start()
        run.any_moment()
        for _ in range(times):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(run.main.pid, number)
            time.sleep(run.rng.choice([0.0, 0.02, 0.2, 1.0]))

    return disturb


def kill_main(run: Disturbed) -> None:
    run.start()
    run.any_moment()
    send(run.main.pid, signal.SIGKILL)


def kill_all(run: Disturbed) -> None:
    """The watchdog and the main process in the same moment: nobody is left to stop the engine."""
    run.start()
    run.moment_of(WATCHDOG)
    watchdogs = run.pids(WATCHDOG)
    for pid in (*watchdogs, run.main.pid):
        send(pid, signal.SIGSTOP)
    for pid in (*watchdogs, run.main.pid):
        send(pid, signal.SIGKILL)


def two_runs(run: Disturbed) -> None:
    run.start()
    run.any_moment()
    run.start()


def full(folder: str) -> Callable[[Disturbed], None]:
    def disturb(run: Disturbed) -> None:
        where = run.study.root / folder
        if run.rng.random() < 0.2:
            disks.fill(where)
            run.start()
        else:
            run.start()
            run.any_moment()
            disks.fill(where)

    return disturb


def limited(run: Disturbed) -> None:
    run.start(disks.limited(int(10 ** run.rng.uniform(2, 5))))


KINDS: dict[str, Callable[[Disturbed], None]] = {
    "kill main": kill_main,
    "kill engine": kill(ENGINE),
    "kill worker": kill(WORKER),
    "kill watchdog": kill(WATCHDOG),
    "kill watchdog and main": kill_all,
    "pause main": pause(None),
    "pause engine": pause(ENGINE),
    "pause worker": pause(WORKER),
    "pause watchdog": pause(WATCHDOG),
    "Ctrl-C": end(signal.SIGINT),
    "Ctrl-C twice": end(signal.SIGINT, 2),
    "Ctrl-C three times": end(signal.SIGINT, 3),
    "SIGTERM": end(signal.SIGTERM),
    "SIGHUP": end(signal.SIGHUP),
    "results full": full("results"),
    "reports full": full("reports"),
    "cache full": full("cache"),
    "TMPDIR full": full("tmp"),
    "file size limit": limited,
    "two runs": two_runs,
    "side by side: kill a session": kill(SESSION),
    "side by side: kill main": kill_main,
    "side by side: Ctrl-C": end(signal.SIGINT),
    "server faults": lambda run: run.start(),
}
FULL = {f"{name if name != 'tmp' else 'TMPDIR'} full": name for name in FOLDERS}


@dataclass(frozen=True)
class Verdict:
    kind: str
    survived: bool
    lost: list[str]
    repeated: list[str]
    left: list[str]
    codes: list[int | None]  # exit codes of the disturbed runs and of the one after
    why: str = ""


def trial(kind: str, seed: int, root: Path, model: Path, typical_s: float) -> Verdict:
    rng = random.Random(f"{seed} {kind} {root.name}")
    for folder in FOLDERS:
        (root / folder).mkdir(parents=True)
    with contextlib.ExitStack() as stack:
        if folder := FULL.get(kind):
            stack.enter_context(disks.small_disk(root / folder, disks.MEBIBYTES[folder]))
        settings, calm = stack.enter_context(engine(kind, rng))
        study = Study(root, model, root.name, settings)
        first, second = root / "first.txt", root / "second.txt"
        run = Disturbed(study, first, rng, typical_s)
        KINDS[kind](run)
        hung = not all([ended(process, HANGS_S + 4 * typical_s) for process in run.running])
        for pid in processes(study.mark) if hung else ():
            send(pid, signal.SIGKILL)
        codes = [process.wait() for process in run.running]
        before = study.cells()
        calm()
        if folder:
            disks.empty(root / folder)
        again = study.start(second)
        hung = not ended(again, HANGS_S + 4 * typical_s) or hung
        wait_for(lambda: not processes(study.mark), GONE_S)
        left = [f"{pid} {line[:100]}" for pid, line in processes(study.mark).items()]
        for pid in processes(study.mark):
            send(pid, signal.SIGKILL)
        left += [str(path.relative_to(root)) for path in study.temporary()]
        after = study.cells()
        texts = [file.read_text(errors="replace") for file in (first, second)]
        reasons = [
            *(["hangs"] if hung else []),
            *([f"the run after it ends with {again.returncode}"] if again.returncode else []),
            *([f"{len(after)} of {CELLS} cells"] if len(after) != CELLS else []),
            *(["a traceback"] if any("Traceback" in text and OURS in text for text in texts) else []),
        ]
        said = [key for text in texts for key in MEASURED.findall(text)]
        return Verdict(
            kind,
            not reasons,
            [key for key in before if key not in after],
            sorted(
                (
                    {key for key in said if said.count(key) > 1}
                    | {k for k in before if after.get(k, before[k]) != before[k]}
                )
                - study.retried()
            ),
            left,
            [*codes, again.returncode],
            ", ".join(reasons),
        )


@contextlib.contextmanager
def engine(kind: str, rng: random.Random) -> Iterator[tuple[tuple[str, ...], Callable[[], None]]]:
    """The engine's settings, and what ends its faults."""
    if kind != "server faults":
        yield (*SIMULATED, *(SIDE_BY_SIDE if kind.startswith("side by side") else ())), lambda: None
        return
    names = rng.sample(list(FAULTS), 3)
    script = ["good"] * rng.randrange(8) + [rng.choice([*names, "good"]) for _ in range(rng.randrange(4, 24))]
    server = Server(script)
    try:
        yield (
            "engine=endpoint", f"engine.base_url={server.url}", "engine.model=tiny", "engine.version=1",
            "+engine.targets.fp8_dynamic={model: tiny-fp8}", "load.request_timeout_s=4", "load.cell_timeout_s=8",
        ), server.calm  # fmt: skip
    finally:
        server.shutdown()
        server.server_close()


def typical(root: Path, model: Path) -> float:
    """Seconds that an undisturbed run takes here. Raises SystemExit where it fails."""
    for folder in FOLDERS:
        (root / folder).mkdir(parents=True)
    study, began = Study(root, model, root.name, SIMULATED), time.monotonic()
    process = study.start(root / "first.txt")
    if not ended(process, 10 * HANGS_S) or process.returncode or len(study.cells()) != CELLS:
        raise SystemExit(f"an undisturbed run fails:\n{(root / 'first.txt').read_text()}")
    seconds = time.monotonic() - began
    shutil.rmtree(root)
    return seconds
