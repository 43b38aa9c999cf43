#!/usr/bin/python3
"""nbdkit-python-plugin and nbdkit-perl-plugin without a script: nbdkit fails an assertion, or
crashes, instead of saying that script= is missing."""
import signal

import nbd

from served import serve, verdict

with serve("python") as nbdkit:
    python = nbdkit.ended()
with serve("perl") as nbdkit:
    try:
        nbdkit.connect()
    except nbd.Error as error:
        print(error)
    perl = nbdkit.ended()
verdict(python == -signal.SIGABRT and perl == -signal.SIGSEGV,
        f"python ended with {python}, perl with {perl}")
