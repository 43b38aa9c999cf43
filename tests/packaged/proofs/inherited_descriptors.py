#!/usr/bin/python3
"""partitioning, nbd, iso, linuxdisk: parallel plugins whose descriptors a child would inherit."""
import os

from served import serve, verdict

CLOSE_ON_EXEC = 0o2000000  # O_CLOEXEC, as /proc/PID/fdinfo shows it


def inheritable(process, pattern):
    """Names of descriptors that match and stay open over exec."""
    found = []
    for number in os.listdir(f"/proc/{process}/fd"):
        try:
            name = os.readlink(f"/proc/{process}/fd/{number}")
            with open(f"/proc/{process}/fdinfo/{number}", encoding="ascii") as lines:
                flags = next(int(line.split()[1], 8) for line in lines if line.startswith("flags:"))
        except FileNotFoundError:  # closed meanwhile
            continue
        if int(number) > 2 and pattern in name and not flags & CLOSE_ON_EXEC:
            found.append(os.path.basename(name))
    return found


with serve("partitioning", "one.img", "two.img", "partition-type=mbr",
           files=[("one.img", bytes(1 << 20)), ("two.img", bytes(1 << 20))]) as nbdkit:
    nbdkit.connect()
    images = inheritable(nbdkit.process.pid, ".img")
with serve("memory", "1M") as storage:
    storage.connect()
    with serve("nbd", f"socket={storage.socket}") as nbdkit:
        nbdkit.connect().pread(512, 0)
        pipes = inheritable(nbdkit.process.pid, "pipe:")
verdict(len(images) == 2 and len(pipes) >= 2, f"without O_CLOEXEC: {images}, {pipes}")
