"""What still runs on this machine."""

import subprocess
import time


def running(pattern):
    listed = subprocess.run(["pgrep", "-f", pattern], capture_output=True, text=True).stdout.split()
    states = {pid: subprocess.getoutput(f"ps -o stat= -p {pid}").strip() for pid in listed}
    return [pid for pid, state in states.items() if state and state[0] != "Z"]


def nothing_runs(pattern):
    return running(pattern) == []


def eventually(holds):
    for _ in range(100):
        if holds():
            return True
        time.sleep(0.1)
    return False
