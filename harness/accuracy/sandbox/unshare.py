"""util-linux's unshare and a mount script, where bubblewrap is not installed."""

import os
import shutil

from harness.accuracy.sandbox.bounded import Launch
from harness.accuracy.sandbox.request import ENVIRONMENT, Request

PROGRAMS = [("unshare", ())]

# Arguments: an empty folder, bytes of /tmp, then "source target" pairs up to "--", then the command.
_MOUNTS = r"""
set -e
umask 022  # the command runs as another user, who has to pass through the folders made here
PATH=$PATH:/usr/sbin:/sbin
root=$1; size=$2; shift 2
mount -t tmpfs -o mode=755,size=1m tmpfs "$root"
mkdir -p "$root/tmp" "$root/proc" "$root/dev" "$root/old"
mount -t tmpfs -o mode=1777,size=$size,nosuid,nodev tmpfs "$root/tmp"
mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
mount -o remount,bind,ro,nosuid,nodev,noexec "$root/proc"
for name in null zero full random urandom; do : > "$root/dev/$name"; mount --bind "/dev/$name" "$root/dev/$name"; done
mkdir "$root/dev/shm"
mount -t tmpfs -o mode=1777,size=$size,nosuid,nodev tmpfs "$root/dev/shm"
while [ "$1" != "--" ]; do
    if [ -L "$1" ]; then ln -s "$(readlink "$1")" "$root$2"
    else
        if [ -d "$1" ]; then mkdir -p "$root$2"; else mkdir -p "$(dirname "$root$2")"; : > "$root$2"; fi
        mount --rbind "$1" "$root$2"
        # as mountinfo has it: a space is \040
        at=$(printf %s "$root$2" | sed 's/ /\\040/g') awk '
            $5 == ENVIRON["at"] || index($5, ENVIRON["at"] "/") == 1 {sub("^rw", "ro", $6); print $6, $5}
        ' /proc/self/mountinfo | while read -r options at; do
            mount -o "remount,bind,$options" "$(printf %b "$at")"
        done
    fi
    shift 2
done
shift
cd "$root"
mount -o remount,bind,ro "$root"
pivot_root . old
umount -l old
cd /tmp
exec "$@"
"""


def launch(request: Request) -> Launch:
    if request.work_dir is None:
        raise ValueError("unshare needs an empty folder to mount on")
    setpriv = shutil.which("setpriv")  # of the same package: when the harness dies, so does the sandbox
    pairs = [part for pair in request.visible for part in pair]
    line = [
        *([setpriv, "--pdeathsig", "KILL"] if setpriv else []),
        *(request.program, "--net", "--ipc", "--uts", "--mount", "--pid", "--fork", "--kill-child=KILL"),
        *([] if os.getuid() == 0 else ["--user", "--map-root-user"]),
        *("sh", "-c", _MOUNTS, "sh"),
        *(str(request.work_dir.resolve()), str(int(request.limits.tmp_bytes)), *pairs, "--", *request.command),
    ]
    return Launch(line, ENVIRONMENT)
