#!/usr/bin/python3
"""nbdkit-split-plugin: asked for extents, the server dies of SIGSEGV."""
import signal

import nbd

from served import serve, verdict

parts = [("a", b"\1" * 4096), ("b", b"\2" * 4096)]
with serve("split", "a", "b", files=parts) as nbdkit:
    client = nbdkit.connect("base:allocation")
    try:
        client.block_status(512, 0, lambda *_: 0)
    except nbd.Error as error:
        print(error)
    status = nbdkit.ended()
verdict(status == -signal.SIGSEGV, f"nbdkit ended with {status}")
