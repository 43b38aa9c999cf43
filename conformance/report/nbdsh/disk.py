# --- what writes carry ---------------------------------------------------------

MASK = (1 << 64) - 1
STEP = 0x9E3779B97F4A7C15


def tag_bytes(tag, offset, count):
    """Every 8-byte word names the write (its tag) and its own place."""
    x = (tag + 0x51ED270B0A1F39C1) & MASK
    x = ((x ^ (x >> 33)) * 0xFF51AFD7ED558CCD) & MASK
    x = ((x ^ (x >> 33)) * 0xC4CEB9FE1A85EC53) & MASK
    base = x ^ (x >> 33)
    first, last = offset // 8, (offset + count - 1) // 8
    words = array.array("Q", ((base + i * STEP) & MASK for i in range(first, last + 1)))
    if sys.byteorder == "big":
        words.byteswap()
    return words.tobytes()[offset % 8:offset % 8 + count]


class Layer:
    """What one operation did to a range, and who may rely on it.

    `content`: a function of offset and count, or None: nobody knows.
    """

    def __init__(self, begin, count, content, writer, read=False):
        self.begin = begin
        self.end = begin + count
        self.content = content
        self.writer = writer
        self.read = read  # what a read found, no change
        self.flushed = 0  # when
        self.closed = 0


def tagged(tag):
    return lambda offset, count: tag_bytes(tag, offset, count)


def filled(value):
    return lambda offset, count: bytes([value]) * count


def runs(mask, value, first, last):
    """[begin, end) of each run of that value in mask[first:last]."""
    for run in re.compile(re.escape(bytes([value])) + b"+").finditer(bytes(mask[first:last])):
        yield first + run.start(), first + run.end()


class Disk:
    """Connections to the plugin, and what they must find there.

    Only what NBD promises is asked for: a connection sees its own writes; others
    see what was flushed if the server offers multi-conn; a connection that is
    opened later sees what was flushed and closed, if the data are shared.
    """

    def __init__(self, nbdkit):
        self.nbdkit = nbdkit
        self.handles = {}
        self.instances = {}
        self.opened = {}
        self.layers = []
        self.clock = 1
        self.multi_conn = False
        self.size = 0
        self.last_read = None

    def tick(self):
        self.clock += 1
        return self.clock

    def call(self, what, connection, name, *arguments):
        """None: it succeeded, else the name of the errno."""
        try:
            command(self.handles[connection], name, *arguments)
            print(f"  {what}")
            return None
        except nbd.Error as error:
            print(f"  {what}: {error.errno}")
            if error.errno in ("ENOTCONN", "ESHUTDOWN", "ECONNRESET", "EPIPE") or not error.errno:
                self.nbdkit.check_alive(what)
            return error.errno or "error"
        except Hang:
            raise Bug(f"{what} gets no reply", "a reply", f"nothing for {REPLY_LIMIT} s") from None

    def open(self, connection):
        try:
            handle = self.nbdkit.connect()
        except nbd.Error as error:
            raise CannotRun(f"the export cannot be opened: {error}") from None
        except Hang:
            raise Bug("opening the export gets no reply", "a reply", "nothing") from None
        print(f"  #{connection} open")
        self.handles[connection] = handle
        self.instances[connection] = instance = self.tick()
        self.opened[instance] = instance
        self.size = handle.get_size()
        self.multi_conn = handle.can_multi_conn()

    def close(self, connection):
        handle = self.handles.pop(connection, None)
        if handle is None:
            return
        print(f"  #{connection} close")
        try:
            handle.aio_disconnect(0)
            wait_for(handle, lambda: handle.aio_is_closed() or handle.aio_is_dead())
        except nbd.Error:
            self.nbdkit.check_alive("a client leaves")
        except Hang:
            raise Bug("the connection is not closed", "its end", "nothing") from None
        now = self.tick()
        for layer in self.layers:
            if layer.writer == self.instances[connection]:
                layer.closed = now

    # --- what is on the disk

    def sees(self, reader, layer):
        if layer.writer == reader:
            return True
        if not SHARED:
            return None  # another disk
        if layer.read:
            return True if layer.closed and layer.closed < self.opened[reader] else None
        if not layer.flushed:
            return False
        if self.multi_conn:
            return True
        return bool(layer.closed) and layer.closed < self.opened[reader]

    def change(self, connection, offset, count, content, flags):
        writer = self.instances[connection]
        for other in self.layers:
            # Both in flight to the same place: either may stay.
            if other.writer != writer and not other.read and not other.flushed \
                    and other.begin < offset + count and offset < other.end and SHARED:
                content = None
        layer = Layer(offset, count, content, writer)
        if flags & FUA:
            layer.flushed = self.tick()
        self.layers.append(layer)

    def expected(self, connection, offset, count):
        """Bytes, and a mask: 1 known, 0 not, 2 never touched by anybody."""
        reader = self.instances[connection]
        want, mask, left = bytearray(count), bytearray(b"\x02") * count, count
        for layer in reversed(self.layers):  # the newest decides
            if not left:
                break
            first, last = max(layer.begin - offset, 0), min(layer.end - offset, count)
            seen = self.sees(reader, layer) if first < last else None
            if seen is None:
                continue
            known = seen and layer.content is not None
            for begin, end in runs(mask, 2, first, last):
                mask[begin:end] = (b"\x01" if known else b"\x00") * (end - begin)
                if known:
                    want[begin:end] = layer.content(offset + begin, end - begin)
                left -= end - begin
        return want, mask

    # --- requests

    def read(self, connection, offset, count, flags=0):
        self.last_read = (connection, offset, count, flags)
        what = f"#{connection} read(offset={offset}, count={count})"
        buffer = nbd.Buffer(count)
        if self.call(what, connection, "pread", buffer, offset, None, flags):
            return None
        data = bytes(buffer.to_bytearray())
        want, mask = self.expected(connection, offset, count)
        if b"\x00" not in mask and b"\x02" not in mask and data == want:
            return data
        for begin, end in runs(mask, 1, 0, count):
            if data[begin:end] != want[begin:end]:
                at = next(i for i in range(begin, end) if data[i] != want[i])
                raise Bug(f"{what} returns wrong data from offset {offset + at} on",
                          bytes(want[at:at + 16]).hex(" "), bytes(data[at:at + 16]).hex(" "))
        if STABLE and b"\x02" in mask:
            self.learn(connection, offset, data, mask)
        return data

    def plain_read(self, connection, offset, count):
        """Judged by nobody."""
        buffer = nbd.Buffer(count)
        try:
            command(self.handles[connection], "pread", buffer, offset)
        except nbd.Error:
            return None
        return bytes(buffer.to_bytearray())

    def learn(self, connection, offset, data, mask):
        for begin, end in runs(mask, 2, 0, len(mask)):
            start, piece = offset + begin, bytes(data[begin:end])
            layer = Layer(start, end - begin,
                          lambda at, n, start=start, piece=piece: piece[at - start:at - start + n],
                          self.instances[connection], read=True)
            # Below all changes: it is what was there before them.
            self.layers.insert(0, layer)

    def modify(self, name, connection, offset, count, content, flags, what):
        words = f"#{connection} {name.removeprefix('p')}(offset={offset}, count={count}, " \
                f"flags={flags})"
        failed = self.call(words, connection, name, what, offset, None, flags)
        self.change(connection, offset, count, None if failed else content, flags)
        return failed

    def write(self, connection, offset, count, tag, flags=0, fill=None):
        content = tagged(tag) if fill is None else filled(fill)
        data = nbd.Buffer.from_bytearray(bytearray(content(offset, count)))
        return self.modify("pwrite", connection, offset, count, content, flags, data)

    def zero(self, connection, offset, count, flags=0):
        return self.modify("zero", connection, offset, count, filled(0), flags, count)

    def trim(self, connection, offset, count, flags=0):
        return self.modify("trim", connection, offset, count, None, flags, count)

    def cache(self, connection, offset, count, flags=0):
        return self.call(f"#{connection} cache(offset={offset}, count={count})", connection,
                         "cache", count, offset, None, flags)

    def flush(self, connection):
        failed = self.call(f"#{connection} flush", connection, "flush", None, 0)
        if not failed:
            now = self.tick()
            for layer in self.layers:
                if self.multi_conn or layer.writer == self.instances[connection]:
                    layer.flushed = layer.flushed or now
        return failed

    def map(self, connection, offset, count, flags=0):
        """[(offset, length, type)], cut to the request; or the name of an errno."""
        answer = []
        # A server without the repair of CVE-2025-47711 dies of a longer one.
        count = min(count, LONGEST_MAP)

        def note(_context, _offset, entries, _error):
            answer.extend(zip(entries[::2], entries[1::2]))

        failed = self.call(f"#{connection} block_status(offset={offset}, count={count})",
                           connection, "block_status", count, offset, note, None, flags)
        if failed:
            return failed
        pieces, at = [], offset
        for length, kind in answer:
            length = min(length, offset + count - at)
            if length:
                pieces.append((at, length, kind))
            at += length
        return pieces

    def extents(self, connection, offset, count, flags=0):
        pieces = self.map(connection, offset, count, flags)
        if isinstance(pieces, str):
            again = self.map(connection, offset, count, flags)
            readable = self.plain_read(connection, offset, min(512, self.size - offset))
            if readable is not None and isinstance(again, str):
                raise Bug(f"block_status(offset={offset}, count={count}) fails, although the range "
                          "can be read", "a map", again + ": " + self.nbdkit.last_words())
            return
        for begin, length, kind in pieces:
            if not kind & 2:
                continue
            looked = [(begin, min(length, 1 << 20))]
            if length > 1 << 20:
                looked.append((begin + length - (1 << 20), 1 << 20))
            for start, size in looked:
                data = self.plain_read(connection, start, size)
                if data is not None and data.count(0) != size:
                    at = next(i for i in range(size) if data[i])
                    raise Bug(f"block_status calls [{begin}, {begin + length}) zero, and reading "
                              f"offset {start + at} finds data", "zeroes, or an extent that is not "
                              "called zero", bytes(data[at:at + 16]).hex(" "))


def operations(disk):
    OPERATIONS(disk)


def operations_and_reads_again(disk):
    """What nobody wrote changes by itself."""
    OPERATIONS(disk)
    for wait in range(12):
        time.sleep(wait * wait * 0.002)
        if disk.last_read:
            disk.read(*disk.last_read)
