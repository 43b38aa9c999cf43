#!/usr/bin/python3
"""nbdkit-eval-plugin: without get_size= it serves, and turns every client away."""
import nbd

from served import serve, verdict

with serve("eval") as nbdkit:
    refused = False
    try:
        nbdkit.connect()
    except nbd.Error as error:
        refused = True
        print(error)
    serving = nbdkit.process.poll() is None
    log = nbdkit.log()
verdict(
    serving and refused and "get_size method is required" in log, f"nbdkit's log: {log!r}"
)
