"""Commands of runs that hold canaries, and the search of what they wrote."""

import json
import sys
from pathlib import Path
from urllib.parse import quote

from tests.integration.leaks.canaries import CANARIES, Search

URL_USER = f"alice:{quote(CANARIES.url_password, safe='')}@"
TARGET_USER = f"bob:{CANARIES.target_password}@"
MLFLOW_USER = f"carol:{quote(CANARIES.mlflow_password, safe='')}@"


def harness(*settings: str) -> list[str]:
    return [sys.executable, "-m", "harness", "+sweep=quickstart", "name=x", "progress=plain", *settings]


def load(model: Path, *settings: str) -> list[str]:
    return harness(
        *(
            "engine=endpoint",
            f"model={model}",
            "engine.model=m",
            "engine.version=1",
            "engine.dialect=openai",
            "suite=[]",
            "judge=null",
        ),
        *("scenario=[rag_256_8]", "load.throughput_requests=0", "load.rates_rps=[]", "load.single_stream_requests=2"),
        *("load.warmup_requests=0", "load.request_timeout_s=1", "hardware.min_free_disk_gb=0.1", "load.repeats=1"),
        *(setting for setting in settings),
    )


def search(home: Path, *runs) -> Search:
    found = Search()
    found.folder(home)
    for number, one in enumerate(runs):
        found.look(f"standard output of run {number}", one.out.encode())
        found.look(f"standard error of run {number}", one.err.encode())
        found.found += one.processes.found()
    return found


def clean(home: Path, *runs) -> Search:
    found = search(home, *runs)
    assert not found.found, found.found[:20]
    return found


def failures(home: Path) -> dict[str, str]:
    read = (json.loads(path.read_text()) for path in (home / "results/x/failures").glob("*.json"))
    return {entry["key"].partition("/")[0]: entry["error"] for entry in read}
