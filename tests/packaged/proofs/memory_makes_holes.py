#!/usr/bin/python3
"""nbdkit-memory-plugin: zeroes that may not be a hole (NO_HOLE) become one.

The plugin gives the pages back whatever the flags say, so that a later write
there can fail for want of memory, which the flag is to prevent.
"""
import nbd

from served import serve, verdict

size = 1 << 20
with serve("memory", "1M") as nbdkit:
    client = nbdkit.connect(nbd.CONTEXT_BASE_ALLOCATION)

    def types():
        found = []
        client.block_status(size, 0, lambda context, offset, entries, error:
                            found.extend(entries[1::2]))
        return found

    client.pwrite(b"x" * size, 0)
    before = types()
    client.zero(size, 0, nbd.CMD_FLAG_NO_HOLE)
    after = types()
verdict(not any(t & nbd.STATE_HOLE for t in before) and any(t & nbd.STATE_HOLE for t in after),
        f"the map was {before} with data in it, and {after} after zeroes without a hole")
