#!/usr/bin/python3
"""nbdkit-full-plugin: .pwrite fails without a word (nbdkit_error is not called)."""
import nbd

from served import serve, verdict

with serve("full", "1M") as nbdkit:
    client = nbdkit.connect()
    failed = False
    try:
        client.pwrite(b"x", 0)
    except nbd.Error as error:
        failed = True
        print(error)
    log = nbdkit.log()
verdict(failed and not log, f"the write failed, nbdkit's log: {log!r}")
