"""Process trees: none of a job's processes outlives it, whatever its plugin does."""

import contextlib
import ctypes
import os
import signal
import time

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
PAGE = os.sysconf("SC_PAGE_SIZE")


def prctl(option, value):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def adopt_orphans():
    """Processes whose parents die become children of this one: they can be found, and ended."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)


def end_with_parent(number=signal.SIGTERM):
    """The kernel sends the signal when the parent dies, also by SIGKILL."""
    prctl(PR_SET_PDEATHSIG, number)


def stats():
    """(pid, parent, resident bytes) of every process there is."""
    for name in os.listdir("/proc"):
        if not name.isdecimal():
            continue
        with contextlib.suppress(OSError, IndexError, ValueError):
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as text:
                # The name in parentheses may hold anything.
                fields = text.read().rpartition(")")[2].split()
            if fields[0] != "Z":
                yield int(name), int(fields[1]), int(fields[21]) * PAGE


def descendants(root):
    """{pid: resident bytes} of what is below a process."""
    children, resident = {}, {}
    for pid, parent, size in stats():
        children.setdefault(parent, []).append(pid)
        resident[pid] = size
    found, left = {}, [root]
    while left:
        for pid in children.get(left.pop(), ()):
            if pid not in found:
                found[pid] = resident[pid]
                left.append(pid)
    return found


def memory_of(pids, enough):
    """Bytes that processes use together; pages that they share are counted once, but only
    when it matters: that costs the kernel a walk through all of their memory."""
    if sum(pids.values()) <= enough:
        return sum(pids.values())
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError, IndexError, ValueError):
            with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as text:
                total += next(int(line.split()[1]) for line in text if line.startswith("Pss:"))
    return total * 1024


def end_all_below(root, patience=5.0):
    """SIGTERM, so that nbdcheck can remove its scratch directory; then SIGKILL until none is
    left.  Returns how many had to be killed."""
    killed = set()
    for number, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, 10.0)):
        end = time.monotonic() + seconds
        told = set()
        while pids := descendants(root):
            for pid in pids:
                # Again and again for SIGKILL: a process may have forked in between.
                if number == signal.SIGKILL or pid not in told:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, number)
                    told.add(pid)
            if number == signal.SIGKILL:
                killed |= set(pids)
            reap()
            if time.monotonic() > end:
                break
            time.sleep(0.02)
    reap()
    return len(killed)


def reap():
    """Takes the exit statuses of adopted orphans."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
