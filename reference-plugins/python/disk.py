# A RAM disk for nbdkit-python-plugin(3): size=BYTES.
import nbdkit

API_VERSION = 2

size = 1 << 20
disk = None


def config(key, value):
    global size
    if key != "size":
        raise RuntimeError("unknown parameter " + key)
    size = nbdkit.parse_size(value)


def get_ready():
    global disk
    disk = bytearray(size)


def open(readonly):
    return {"readonly": readonly}


def get_size(h):
    return size


def block_size(h):
    return (1, 4096, 0xFFFFFFFF)


def can_multi_conn(h):
    return True


def can_fua(h):
    return nbdkit.FUA_NATIVE


def can_cache(h):
    return nbdkit.CACHE_NATIVE


def can_fast_zero(h):
    return True


def pread(h, buf, offset, flags):
    buf[:] = disk[offset:offset + len(buf)]


def pwrite(h, buf, offset, flags):
    disk[offset:offset + len(buf)] = buf


def zero(h, count, offset, flags):
    disk[offset:offset + count] = bytes(count)


def trim(h, count, offset, flags):
    zero(h, count, offset, flags)


def flush(h, flags):
    pass


def cache(h, count, offset, flags):
    pass


def extents(h, count, offset, flags):
    result = []
    end = offset + count
    while offset < end:
        # The type of a block, whatever part of it was asked for.
        block = offset // 4096 * 4096
        stop = min(end, block + 4096)
        kind = 0 if any(disk[block:block + 4096]) else nbdkit.EXTENT_ZERO
        result.append((offset, stop - offset, kind))
        offset = stop
    return result
