"""One client process: sends its share of a cell's requests on time and keeps what comes back.

    python -m harness.loadgen.client.worker FOLDER NUMBER

The parent (schedule.py) has written FOLDER/bodies and FOLDER/shard-NUMBER. It speaks through our standard input, one
line each: the job as JSON, with the HTTP headers (which hold the API key and so are never on disk); "open" when every
worker has loaded; the start of the clock in nanoseconds when every worker is ready. The end of our input ends us. We
answer with JSON lines: loaded, ready, progress, done; full when FOLDER has no space left.
"""

import gc
import json
import pickle
import select
import shutil
import socket
import sys
import time
from pathlib import Path
from typing import Any

from harness.loadgen.client.agenda import Agenda
from harness.loadgen.client.http import Target
from harness.loadgen.client.loop import Job, Loop
from harness.loadgen.client.sockets import allow_open_files
from harness.loadgen.client.spool import Shard, TraceWriter, open_bodies
from harness.loadgen.client.trace import WorkerFacts
from harness.machine.disk import CODES as FULL


def tell(event: str, **facts: Any) -> None:
    sys.stdout.write(json.dumps({"event": event, **facts}) + "\n")
    sys.stdout.flush()


def main() -> int:
    try:
        return work(Path(sys.argv[1]), int(sys.argv[2]))
    except OSError as error:
        if error.errno not in FULL:
            raise
        tell("full", why=error.strerror)  # standard error is a file in FOLDER, and may stay empty
        return 1


def work(folder: Path, number: int) -> int:
    said = json.loads(sys.stdin.readline())
    family, kind, proto, name, where = said["address"]
    address = (socket.AddressFamily(family), socket.SocketKind(kind), proto, name, tuple(where))
    job = Job(Target(**said["target"]), address, said["headers"], said["request_timeout_s"], said["cell_timeout_s"])
    shard: Shard = pickle.loads((folder / f"shard-{number}").read_bytes())
    out = TraceWriter(folder / f"traces-{number}")
    allow_open_files(min(len(shard.conversations), shard.concurrency or len(shard.conversations)))
    loop = Loop(job, Agenda(shard), open_bodies(folder), out)
    gc.collect()
    gc.disable()  # nothing on the way makes cycles, and a collection would stall the loop
    tell("loaded")
    if sys.stdin.readline().strip() != "open":
        return 1
    loop.open_connections()
    tell("ready")
    line = sys.stdin.readline()
    if not line:
        return 1
    began, cpu_s = time.monotonic(), time.process_time()
    loop.run(int(line), sys.stdin.fileno(), lambda done: tell("progress", done=done))
    wall_s, cpu_s = time.monotonic() - began, time.process_time() - cpu_s
    if select.select([sys.stdin], [], [], 0)[0]:  # its end: nobody will read what a server said, or remove it
        shutil.rmtree(folder, ignore_errors=True)
        return 1
    out.close()
    steps, step_s_max = loop.clock_steps
    tell(
        "done",
        done=loop.done,
        facts=vars(  # asdict() would copy loop_lag_s number by number
            WorkerFacts(
                cpu_s=cpu_s,
                wall_s=wall_s,
                loop_lag_s=loop.loop_lag_s,
                connections=loop.connections_opened,
                reads=loop.reads,
                unasked=loop.unasked,
                clock_steps=steps,
                clock_step_s_max=step_s_max,
            )
        ),
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
