"""Canary secrets, and the search for them in everything that a run wrote, printed or showed in the process list."""

import base64
import gzip
import html
import json
import os
import subprocess
import threading
import time
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, quote_plus

FRAGMENT = 14  # characters of the middle of a canary, which nothing else contains


@dataclass(frozen=True)
class Canaries:
    """One secret for every place that can hold one. Each has an unmistakable middle."""

    key: str = "sk-canary/KEY+aZ3kQ9vLw2Xy8Rt5"
    judge_key: str = "jk.canary~JUDGE-pL7mN4cVb6Zx1Qw"
    url_password: str = "canary#URLpw:Hj5 Fd2Gs9Ka7"
    target_password: str = "canaryTARGETpw8Uy3Ti6Re1Wq"
    mlflow_password: str = "canary\u00e9MLFLOWpw'4Bn6\"Vc2Xz"
    hub_token: str = "hf_canaryHUBtokenQaZwSxEdCrFvTgB"
    engine_env: str = "canaryENGINEenv/7Yh4Uj1Ik8Ol"
    aws: str = "canaryAWS+secret/3Ed5Rf7Tg9Yh"
    proxy_password: str = "canaryPROXYpw2Ws4Ed6Rf8Tg"
    index_password: str = "canaryINDEXpw1Qa3Ws5Ed7Rf"
    query_token: str = "canaryQUERYtoken9Ol7Ik5Uj3Yh"
    misplaced: str = "canary-MISPLACED-key-6Tf4Rd2Es"

    def all(self) -> dict[str, str]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


CANARIES = Canaries()


def forms(secret: str) -> set[bytes]:
    """The secret, a part of its middle and its second half, as text, JSON, HTML, URL, Python and base64 write them."""
    middle = len(secret) // 2
    found: set[bytes] = set()
    for text in {secret, secret[middle - FRAGMENT // 2 : middle + FRAGMENT // 2], secret[middle:]}:
        written = {text, html.escape(text), quote(text), quote(text, safe=""), quote_plus(text), repr(text)[1:-1]}
        written |= {json.dumps(text)[1:-1], json.dumps(json.dumps(text))[3:-3], text.replace("/", r"\/")}
        found |= {form.encode() for form in written} | {quote(text, safe="").lower().encode()}
    for shift in range(3):  # wherever it begins in a longer text
        encoded = base64.b64encode(b"\0" * shift + secret.encode()).decode().rstrip("=")
        inner = encoded[4:-2] if shift else encoded[:-2]
        found |= {inner.encode(), inner.replace("+", "-").replace("/", "_").encode()}
    found = {form for form in found if len(form) >= FRAGMENT - 2}
    return {form for form in found if not any(other in form for other in found - {form})}  # the shorter one finds both


FORMS = {name: forms(secret) for name, secret in CANARIES.all().items()}


def canaries_in(data: bytes) -> list[str]:
    return [name for name, written in FORMS.items() if any(form in data for form in written)]


def unpacked(data: bytes) -> Iterable[bytes]:
    yield data
    for unpack in (gzip.decompress, zlib.decompress):
        try:
            yield unpack(data)
        except (OSError, EOFError, zlib.error):
            continue


@dataclass
class Search:
    """What was looked through, and what was found: (place, canary)."""

    files: int = 0
    bytes: int = 0
    found: list[tuple[str, str]] = field(default_factory=list)

    def look(self, place: str, data: bytes) -> None:
        self.bytes += len(data)
        for content in unpacked(data):
            self.found += [(place, name) for name in canaries_in(content)]

    def folder(self, root: Path) -> None:
        for path in sorted(root.rglob("*")):
            self.look(f"the name of {path}", str(path).encode())
            if path.is_file() and not path.is_symlink():
                self.files += 1
                self.look(str(path), path.read_bytes())


class ProcessList:
    """Watches /proc while a context lasts: every command line of what `root` has started, and of nothing else.

    A Python process needs a moment before its first statement can hide what was typed: `root` must turn clean and stay
    so, any other process must be clean whenever it is seen. A process is its number and its start: a number that was
    given to another process while it was looked at tells nothing. A process that is seen once, with the very command
    line that was typed, is a fork of `root` in the moment before it becomes its program.
    """

    def __init__(self, typed: list[str]) -> None:
        self.typed = b"".join(os.fsencode(word) + b"\0" for word in typed)
        self.as_typed: dict[tuple[int, str], int] = {}  # looks that found what was typed
        self.seen: dict[tuple[int, str], list[tuple[str, list[str]]]] = {}  # looks: the program, and what was found
        self.root = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "ProcessList":
        self._thread.start()
        return self

    def __exit__(self, *_exception) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.02):
            members = family(self.root) if self.root else []
            for pid in members:
                try:
                    parent, start = ancestry(pid)
                    line = Path(f"/proc/{pid}/cmdline").read_bytes()
                    same = ancestry(pid) == (parent, start)
                except OSError:
                    continue
                if line and same and (pid == self.root or parent in members):
                    program = line.partition(b"\0")[0].decode(errors="replace")
                    self.seen.setdefault((pid, start), []).append((program, canaries_in(line)))
                    if line == self.typed:
                        self.as_typed[pid, start] = self.as_typed.get((pid, start), 0) + 1

    def found(self) -> list[tuple[str, str]]:
        found = []
        for (pid, start), looks in self.seen.items():
            if pid != self.root and len(looks) == self.as_typed.get((pid, start)) == 1:
                continue
            while pid == self.root and looks and looks[0][1]:
                looks = looks[1:]
            who = "the command itself" if pid == self.root else "a process that it started"
            for number, (program, names) in enumerate(looks):
                place = f"the command line of {who}, {program}, {pid} since {start}, look {number} of {len(looks)}"
                found += [(place, name) for name in names]
        return found


def ancestry(pid: int) -> tuple[int, str]:
    """The parent and the start of a process, in clock ticks since boot (proc(5): fields 4 and 22 of stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    return int(fields[1]), fields[19]


def family(root: int) -> list[int]:
    pids, new = [], [root]
    while new:
        pid = new.pop()
        pids.append(pid)
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            try:
                new += map(int, children.read_text().split())
            except OSError:
                continue
    return pids


@dataclass
class Finished:
    code: int
    out: str
    err: str
    processes: ProcessList

    @property
    def printed(self) -> str:
        return self.out + self.err


def run(command: list[str], cwd: Path, env: dict[str, str], kill_when=None, timeout_s: float = 200) -> Finished:
    """`kill_when()`: SIGKILL as soon as it is true."""
    with ProcessList(command) as processes:
        process = subprocess.Popen(
            command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace"
        )
        processes.root = process.pid
        if kill_when:
            deadline = time.monotonic() + timeout_s
            while process.poll() is None and not kill_when() and time.monotonic() < deadline:
                time.sleep(0.02)
            process.kill()
        try:
            out, err = process.communicate(timeout=timeout_s)
        finally:
            process.kill()
    return Finished(process.returncode, out, err, processes)


def environment(home: Path, **more: str) -> dict[str, str]:
    """What runs here finds canaries in the variables that people export, and its temporary files under `home`."""
    (home / "tmp").mkdir(exist_ok=True)
    c = CANARIES
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW", "HF_", "HUGGING", "OPENAI", "PYTEST"))}
    return keep | {
        "HOME": str(home),
        "TMPDIR": str(home / "tmp"),
        "MY_PROVIDER": f"  {c.key}\r\n",  # as a .env file from Windows gives it
        "OPENAI_API_KEY": c.judge_key,
        "HF_TOKEN": c.hub_token,
        "HUGGING_FACE_HUB_TOKEN": c.hub_token,
        "AWS_SECRET_ACCESS_KEY": c.aws,
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "HTTPS_PROXY": f"http://eve:{c.proxy_password}@127.0.0.1:9",
        "PIP_EXTRA_INDEX_URL": f"http://ci:{c.index_password}@127.0.0.1:9/simple",
        **more,
    }
