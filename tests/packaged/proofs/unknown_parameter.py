#!/usr/bin/python3
"""nbdkit-data-, -tmpdisk- and -ondemand-plugin: a misspelt parameter is accepted.

All three take any other name=value as a variable, data for its expression, the
others for the command that makes the disk.
"""
from served import serve, verdict

accepted = []
for arguments in (("data", "1 2 3"), ("tmpdisk", "1M"), ("ondemand", "1M", "dir=.")):
    with serve(*arguments, "nbdcheck-unknown-parameter=1") as nbdkit:
        if nbdkit.process.poll() is None:
            accepted.append(arguments[0])
verdict(accepted == ["data", "tmpdisk", "ondemand"], "served regardless: " + ", ".join(accepted))
