"""What test_local.py runs in other processes."""

import os
import signal

from harness.executors import Emit, Place
from harness.executors.cores import bound


def tell(description: bytes, place: Place, emit: Emit) -> None:
    print("what is printed is in the log")
    with bound(place.cores):
        emit((description, place.variables.get("CUDA_VISIBLE_DEVICES"), place.gpus, sorted(os.sched_getaffinity(0))))


def die(description: bytes, place: Place, emit: Emit) -> None:
    emit("before")
    os.kill(os.getpid(), signal.SIGKILL)


def wait(description: bytes, place: Place, emit: Emit) -> None:
    emit(os.getpid())
    signal.pause()


def left(description: bytes, events: list) -> bytes:
    return description + f" after {len(events)} events".encode()
