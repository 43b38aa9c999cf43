# What goes wrong in plugins in Python, one fault each: fault=NAME.
#
#   view       the view of the server's buffer is kept after the call
#   short      a read fills part of the buffer
#   parallel   requests run at once, and the interpreter's lock is taken for one
#   errno      a full disk is an OSError, whose errno nobody looks at
#   thread     a thread is started while the script is loaded
#   lock       a request fails with a lock held
#   extents    the map has a hole where the data are
import errno
import threading
import time

import nbdkit

API_VERSION = 2
BLOCK = 4096
FAULTS = ("none", "view", "short", "parallel", "errno", "thread", "lock", "extents")

size = 1 << 17
fault = "none"
disk = None
last = None
answers = None
lock = threading.Lock()


def config(key, value):
    global size, fault
    if key == "size":
        size = nbdkit.parse_size(value)
    elif key == "fault" and value in FAULTS:
        fault = value
    else:
        raise RuntimeError(f"unknown parameter {key}={value}")


def thread_model():
    if fault == "parallel":
        return nbdkit.THREAD_MODEL_PARALLEL
    return nbdkit.THREAD_MODEL_SERIALIZE_ALL_REQUESTS


def work():
    while True:
        asked.wait()
        asked.clear()
        answered.set()


asked = threading.Event()
answered = threading.Event()


def get_ready():
    global disk
    disk = bytearray(size)
    if fault == "thread":
        threading.Thread(target=work, daemon=True).start()


def open(readonly):
    if fault == "thread":
        asked.set()
        answered.wait()
        answered.clear()
    return 1


def get_size(h):
    return size


def can_fua(h):
    return nbdkit.FUA_NATIVE


def pread(h, buf, offset, flags):
    if fault == "lock" and offset // BLOCK == 20:
        lock.acquire()
        raise RuntimeError("bad sector")
    with lock:
        pass
    data = disk[offset:offset + len(buf)]
    if fault == "view" and last and last[0] == offset and len(last[1]) == len(buf):
        data = last[1]
    if fault == "short" and len(buf) > 4096:
        buf[:4096] = data[:4096]
    else:
        buf[:] = data


def pwrite(h, buf, offset, flags):
    global disk, last
    with lock:
        pass
    if fault == "errno" and offset + len(buf) > size - BLOCK:
        raise OSError(errno.ENOSPC, "no room")
    if fault == "view":
        last = (offset, buf)
    if fault == "parallel":
        # Whole blocks are written, and what lies around the data is read before.
        begin, end = offset // BLOCK * BLOCK, min(size, (offset + len(buf) + BLOCK - 1) // BLOCK * BLOCK)
        block = disk[begin:end]
        block[offset - begin:offset - begin + len(buf)] = buf
        time.sleep(0)  # as any call that lets go of the interpreter's lock
        disk[begin:end] = block
        return
    disk[offset:offset + len(buf)] = buf


def flush(h, flags):
    pass


def extents(h, count, offset, flags):
    data = fault == "extents" and any(disk[offset:offset + count])
    return [(offset, count, nbdkit.EXTENT_HOLE | nbdkit.EXTENT_ZERO if data else 0)]
