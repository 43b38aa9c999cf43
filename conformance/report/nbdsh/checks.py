# --- what is looked for ---------------------------------------------------------


def unfilled_buffer(disk):
    """nbdkit -t 1 uses one buffer for all requests of a connection: what .pread does not set
    shows an earlier one."""
    OPERATIONS(disk)
    if not disk.last_read:
        raise CannotRun("the sequence has no read")
    connection, offset, count, flags = disk.last_read
    place = 0 if offset >= count else offset + count
    room = min(count, disk.size - place)
    handle = disk.handles[connection]
    seen = []
    for value in (0xA5, 0x5A):
        if room > 0 and not handle.is_read_only():
            disk.write(connection, place, room, tag=0, fill=value)
        seen.append(disk.read(connection, offset, count, flags))
    if None not in seen and seen[0] != seen[1]:
        at = next(i for i in range(count) if seen[0][i] != seen[1][i])
        raise Bug(f"read(offset={offset}, count={count}) returns what other requests left in the "
                  f"buffer, from byte {at} on", bytes(seen[0][at:at + 16]).hex(" "),
                  bytes(seen[1][at:at + 16]).hex(" "))


def block_of(handle):
    return max(handle.get_block_size(nbd.SIZE_MINIMUM), 1)


def range_of(disk, count=65536):
    """A range at the start of the export that any request may cover."""
    disk.open(0)
    block = block_of(disk.handles[0])
    count = min(count, disk.size) // block * block
    if not count:
        raise CannotRun("the export is smaller than one block")
    return count


def no_map(disk, count):
    pieces = disk.map(0, 0, count)
    return pieces if isinstance(pieces, str) else None


def offered(disk):
    """What is offered works, where plain reads and writes do."""
    count = range_of(disk)
    handle = disk.handles[0]
    if disk.read(0, 0, count) is None:
        raise CannotRun("it cannot be read")
    writable = not handle.is_read_only()
    if writable and disk.write(0, 0, count, tag=1):
        if any(not disk.write(0, at, min(512, count), tag=2) for at in (0, count // 2)):
            raise CannotRun("some of it cannot be written")
        raise Bug("the export is writable, and no write succeeds", "success", "an error")
    requests = [
        ("flush", handle.can_flush(), lambda: disk.flush(0)),
        ("cache", handle.can_cache(), lambda: disk.cache(0, 0, count)),
        ("FUA write", writable and handle.can_fua(),
         lambda: disk.write(0, 0, count, tag=3, flags=FUA)),
        ("zero", writable and handle.can_zero(), lambda: disk.zero(0, 0, count)),
        ("trim", writable and handle.can_trim(), lambda: disk.trim(0, 0, count)),
        ("block status", handle.can_meta_context(ALLOCATION), lambda: no_map(disk, count)),
    ]
    for name, possible, request in requests:
        if possible and (failed := request()):
            raise Bug(f"{name} is offered and fails", "success", failed)


FLAGS = ("is_read_only", "can_flush", "is_rotational", "can_trim", "can_zero", "can_fast_zero",
         "can_fua", "can_multi_conn", "can_cache")


def what_is_told(handle):
    told = {flag: getattr(handle, flag)() for flag in FLAGS}
    told["size"] = handle.get_size()
    for which in ("MINIMUM", "PREFERRED", "MAXIMUM"):
        told[f"block size {which.lower()}"] = handle.get_block_size(getattr(nbd, "SIZE_" + which))
    return told


def same_answers(disk):
    """Every connection is told the same, again and again."""
    disk.open(0)
    first = what_is_told(disk.handles[0])
    for attempt in range(1, 9):
        if attempt % 2:
            disk.close(0)
        disk.open(attempt)
        again = what_is_told(disk.handles[attempt])
        for key, value in first.items():
            if again[key] != value:
                raise Bug(f"two connections are told a different {key}", value, again[key])
        disk.close(attempt)
        disk.open(0)


def opens(disk):
    """The export can be opened at all, and again."""
    end = time.monotonic() + 5
    for _ in range(300):
        if time.monotonic() > end:
            break
        for connection in (0, 1) if SEVERAL else (0,):
            try:
                disk.open(connection)
            except CannotRun as refused:
                raise Bug("the export cannot be opened", "a connection",
                          f"{refused}; nbdkit: {disk.nbdkit.last_words()}") from None
        count = min(disk.size, 512)
        if count:
            disk.plain_read(0, 0, count)
        for connection in list(disk.handles):
            disk.close(connection)


def reads(disk):
    opens(disk)
    count = range_of(disk, 512)
    if disk.read(0, 0, count) is None:
        raise Bug("the export cannot be read", "success", disk.nbdkit.last_words())


def last_byte(disk):
    count = range_of(disk)
    block = block_of(disk.handles[0])
    places = {0, disk.size // 2 // block * block, max(0, disk.size - block) // block * block}
    if disk.size >= block and all(disk.read(0, start, block) is None for start in places):
        raise Bug("nothing of the export can be read", "success", disk.nbdkit.last_words())
    if disk.size % block == 0:
        for length in (block, min(65536, disk.size) // block * block):
            start = disk.size - length
            for name, failed in (("read", disk.read(0, start, length) is None),
                                 ("write", not disk.handles[0].is_read_only() and
                                  disk.write(0, start, length, tag=1))):
                if failed and disk.read(0, 0, count) is not None:
                    raise Bug(f"{name}(offset={start}, count={length}), which ends with the "
                              "export, fails", "success", "an error")
            disk.read(0, start, length)


def halves(disk):
    """A request does not fail whose halves succeed."""
    range_of(disk)
    block = block_of(disk.handles[0])
    size = block
    while size * 2 <= min(64 << 20, disk.size):
        size *= 2
        for start in {0, block, (disk.size - size) // block * block}:
            if start + size > disk.size:
                continue
            half = size // 2 // block * block
            if disk.read(0, start, size) is None and disk.read(0, start, half) is not None \
                    and disk.read(0, start + half, size - half) is not None:
                raise Bug(f"read(offset={start}, count={size}) fails, and both its halves succeed",
                          "success", "an error")
            if disk.handles[0].is_read_only():
                continue
            if disk.write(0, start, size, tag=1) and not disk.write(0, start, half, tag=2) \
                    and not disk.write(0, start + half, size - half, tag=3):
                raise Bug(f"write(offset={start}, count={size}) fails, and both its halves succeed",
                          "success", "an error")


def unreadable(disk):
    """What could be read, and was changed, can be read still."""
    OPERATIONS(disk)
    if not disk.last_read:
        raise CannotRun("the sequence has no read")
    connection, offset, count, flags = disk.last_read
    if all(disk.read(connection, offset, count, flags) is None for _ in range(3)):
        raise Bug(f"read(offset={offset}, count={count}) fails, again and again, since that range "
                  "was changed", "the data that were written", "an error")


def no_hole(disk):
    count = range_of(disk, 1 << 20)
    disk.write(0, 0, count, tag=1)
    if disk.zero(0, 0, count, NO_HOLE):
        raise CannotRun("zero fails")
    for begin, length, kind in disk.map(0, 0, count):
        if kind & 1:
            raise Bug(f"zero with NO_HOLE made a hole of [{begin}, {begin + length})",
                      "no hole", f"type {kind}")


def places(disk, count):
    block = block_of(disk.handles[0])
    for length in {block, min(4096, count) // block * block or block, count}:
        for start in {0, block, (disk.size // 2) // block * block,
                      (disk.size - length) // block * block}:
            if start + length <= disk.size:
                yield start, length


def zero_fails(disk):
    """Where zeroes can be written they can be zeroed."""
    count = range_of(disk)
    for start, length in places(disk, count):
        for flags in (0, NO_HOLE, FUA if disk.handles[0].can_fua() else 0):
            if (failed := disk.zero(0, start, length, flags)) and \
                    not disk.write(0, start, length, tag=0, fill=0):
                raise Bug(f"zero(offset={start}, count={length}) fails, and zeroes can be written",
                          "success", failed)


def fast_zero_errno(disk):
    count = range_of(disk)
    for start, length in places(disk, count):
        for flags in (FAST_ZERO, FAST_ZERO | NO_HOLE):
            failed = disk.zero(0, start, length, flags)
            if failed and failed != "ENOTSUP" and failed != "EOPNOTSUPP" and \
                    not disk.zero(0, start, length):
                raise Bug(f"a fast zero(offset={start}, count={length}) fails as no fast zero may",
                          "success, or ENOTSUP", failed)


def trim_fails(disk):
    count = range_of(disk)
    for start, length in places(disk, count):
        if (failed := disk.trim(0, start, length)) and \
                not disk.write(0, start, length, tag=1):
            raise Bug(f"trim(offset={start}, count={length}) fails", "success", failed)


def trimmed_contents(disk):
    """What is trimmed does not show what is written elsewhere."""
    count = min(range_of(disk, 1 << 20), disk.size // 2)
    if not count:
        raise CannotRun("the export is too small")
    for length in (count, min(count, 65536), min(count, 4096)):
        disk.write(0, 0, length, tag=1)
        disk.write(0, length, length, tag=2)
        disk.trim(0, 0, length)
        disk.write(0, length, length, tag=3)
        data = disk.plain_read(0, 0, length) or b""
        theirs = tag_bytes(3, length, length)
        at = data.find(theirs[:16])
        if at >= 0:
            raise Bug(f"the trimmed range [0, {length}) shows what was written behind it",
                      "the old data or zeroes", bytes(data[at:at + 16]).hex(" "))


def same_map(disk):
    """The map does not depend on how it is asked for."""
    range_of(disk)
    block = max(block_of(disk.handles[0]), 512)
    size = min(disk.size, 16 << 20)

    def walk(stride, flags):
        kinds, at = {}, 0
        while at < size:
            pieces = disk.map(0, at, min(stride, size - at), flags)
            if isinstance(pieces, str) or not pieces:
                raise Bug(f"block_status(offset={at}) has no answer", "a map", str(pieces))
            for begin, length, kind in pieces:
                for place in range((begin + 511) // 512 * 512, begin + length, 512):
                    kinds[place] = kind
            at += sum(length for _, length, _ in pieces)
        return kinds

    whole = walk(size, 0)
    for stride, flags in ((65536, 0), (4096 // block * block or block, 0), (size, REQ_ONE),
                          (65536, REQ_ONE), (size, 0)):
        again = walk(stride, flags)
        for place, kind in whole.items():
            if again.get(place, kind) != kind and again[place] not in (2, 0):
                raise Bug(f"offset {place} has another type when the map is asked for {stride} "
                          "bytes at a time", kind, again[place])


def whole_map(disk):
    """Block status of all sorts of ranges, after the operations."""
    OPERATIONS(disk)
    if 0 not in disk.handles:
        disk.open(0)
    block = block_of(disk.handles[0])
    for start in {0, block, disk.size // 2 // block * block, (disk.size - 1) // block * block}:
        rest = min(disk.size - start, LONGEST_MAP)
        for count in {min(block, rest), min(65536, rest), rest}:
            for flags in (0, REQ_ONE):
                if count:
                    disk.extents(0, start, count, flags)


def independent(disk):
    """What one connection does is nothing to another."""
    count = range_of(disk)
    for _ in range(3):
        disk.write(0, 0, count, tag=1)
        disk.flush(0)
        if disk.read(0, 0, count) is None:
            raise CannotRun("it cannot be read")
        disk.open(1)
        for doing in ("a second one is opened", "the second one read", "the second one failed",
                      "the second one is closed"):
            if doing == "the second one read":
                disk.read(1, 0, count)
            elif doing == "the second one failed":
                disk.read(1, disk.size, 512)
                disk.read(1, disk.size - 1, 1)
                disk.trim(1, disk.size - 1, 1)
            elif doing == "the second one is closed":
                disk.close(1)
            if disk.read(0, 0, count) is None:
                raise Bug(f"the first connection cannot read any more after {doing}", "success",
                          disk.nbdkit.last_words())


def unaligned(disk):
    """Requests off the block size are served or refused, never garbled."""
    whole = range_of(disk, 1 << 20)
    handle = disk.handles[0]
    block = block_of(handle)
    longest = handle.get_block_size(nbd.SIZE_MAXIMUM) or whole
    writable = not handle.is_read_only()

    def fill(tag):
        for start in range(0, whole, block * 4):
            count = min(block * 4, whole - start)
            if writable and disk.write(0, start, count, tag=tag):
                raise CannotRun("whole blocks cannot be written")

    def look():
        for start in range(0, whole, block * 4):
            disk.read(0, start, min(block * 4, whole - start))

    tag = 1
    odd = max(block // 2, 1)
    for start, count in ((odd, block), (0, odd), (odd, odd), (block + odd, 2 * block),
                         (0, min(whole, longest + block)), (block * 2 - 1, 2)):
        if start + count > whole:
            continue
        for request in ("read", "write", "zero", "trim"):
            tag += 2
            fill(tag)
            if request == "read":
                disk.read(0, start, count)
            elif not writable:
                continue
            elif request == "write":
                disk.write(0, start, count, tag=tag + 1)
            elif request == "zero":
                disk.zero(0, start, count)
            elif handle.can_trim():
                disk.trim(0, start, count)
            look()


def everything(disk):
    """The server outlives one request of each kind, and its clients."""
    OPERATIONS(disk)
    for connection in list(disk.handles):
        disk.close(connection)
    opens(disk)
    offered(disk)
