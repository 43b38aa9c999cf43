#!/usr/bin/python3
"""nbdkit-ondemand-plugin: an export that is open cannot be opened again."""
import nbd

from served import serve, verdict

with serve("ondemand", "10M", "dir=.") as nbdkit:
    first = nbdkit.connect(export="mine")
    refused = False
    try:
        nbdkit.connect(export="mine")
    except nbd.Error as error:
        refused = True
        print(error)
    print(nbdkit.log(), end="")
    first.shutdown()
verdict(refused, "the second client was refused while the first was connected")
