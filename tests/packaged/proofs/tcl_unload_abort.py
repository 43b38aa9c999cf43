#!/usr/bin/python3
"""nbdkit-tcl-plugin: stopped while a client is connected, nbdkit aborts.

.unload deletes the interpreter on the main thread; a channel that the script
opened for the connection belongs to the connection's thread.
"""
import os
import signal

import nbd

from served import SCRIPTS, serve, verdict

script = os.path.join(SCRIPTS, "tcl", "filedisk.tcl")
with serve("tcl", script, "file=disk", files=[("disk", b"\1" * 4096)]) as nbdkit:
    client = nbdkit.connect()
    client.pread(512, 0)
    nbdkit.process.terminate()
    # nbdkit waits for requests that were on their way, and for clients to leave.
    try:
        while True:
            client.pread(512, 0)
    except nbd.Error as error:
        print(error)
    del client
    status = nbdkit.ended()
    print(nbdkit.log(), end="")
verdict(status == -signal.SIGABRT, f"nbdkit, told to stop, ended with {status}")
