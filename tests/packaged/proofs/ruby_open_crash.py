#!/usr/bin/python3
"""nbdkit-ruby-plugin: the first connection kills the server.

The interpreter is set up on the main thread; nbdkit serves connections on
others.
"""
import signal
import os

import nbd

from served import SCRIPTS, serve, verdict

with serve("ruby", os.path.join(SCRIPTS, "ruby", "disk.rb"), "size=65536") as nbdkit:
    try:
        nbdkit.connect()
    except nbd.Error as error:
        print(error)
    status = nbdkit.ended()
verdict(status in (-signal.SIGABRT, -signal.SIGSEGV), f"nbdkit ended with {status}")
