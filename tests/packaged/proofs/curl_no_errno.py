#!/usr/bin/python3
"""nbdkit-curl-plugin: a failing .pread sets no errno, and errno is not preserved.

The file shrinks while it is served, so that reading its end fails. The plugin
does not even use nbdkit_set_error.
"""
import os
import subprocess

import nbd

from served import serve, verdict

with serve("curl", "url=file:///proc/self/cwd/disk", "protocols=file",
           files=[("disk", bytes(1 << 20))]) as nbdkit:
    client = nbdkit.connect()
    os.truncate(f"/proc/{nbdkit.process.pid}/cwd/disk", 4096)
    told = None
    try:
        client.pread(512, 1 << 19)
    except nbd.Error as error:
        told = error.errno
    facts = subprocess.run(["nbdkit", "curl", "--dump-plugin"], capture_output=True, text=True)
    plugin = dict(line.split("=", 1) for line in facts.stdout.splitlines() if "=" in line)
    with open(plugin["path"], "rb") as file:
        sets = b"nbdkit_set_error" in file.read()
verdict(told == "EIO" and not sets and plugin["errno_is_preserved"] == "0",
        f"the client was told {told}; the plugin sets an error: {sets}")
