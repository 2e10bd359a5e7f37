"""bubblewrap (bwrap), of 0.5 or later."""

import os
from pathlib import Path

from harness.accuracy.sandbox.bounded import Launch
from harness.accuracy.sandbox.request import ENVIRONMENT, Request

PROGRAMS = [("bwrap", ())]


def launch(request: Request) -> Launch:
    line = [request.program, "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts"]
    line += ["--unshare-cgroup-try", "--die-with-parent", "--new-session", "--hostname", "sandbox"]
    if os.getuid() == 0:
        line += ["--cap-drop", "ALL"]  # but for what the stage needs to give up the rest
        for name in ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"):
            line += ["--cap-add", name]
    else:
        # bwrap's own first process would be of the same user, and hold the command's output open to whoever looks
        line += ["--unshare-user", "--as-pid-1"]
    line += ["--proc", "/proc", "--dev", "/dev"]
    for folder in ("/tmp", "/dev/shm"):
        line += ["--perms", "1777", "--size", str(int(request.limits.tmp_bytes)), "--tmpfs", folder]
    parents = {str(parent) for _, target in request.visible for parent in Path(target).parents} - {"/", "/tmp"}
    for folder in sorted(parents):  # bwrap would make them for root alone
        line += ["--perms", "0755", "--dir", folder]
    for source, target in request.visible:
        if os.path.islink(source) and source == target:
            line += ["--symlink", os.readlink(source), target]
        else:
            line += ["--ro-bind", source, target]
    line += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/tmp"]
    return Launch([*line, "--", *request.command], ENVIRONMENT)
