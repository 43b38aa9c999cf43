#!/usr/bin/python3
"""nbdkit-null-plugin: accepts writes and forgets them, as its manual says."""
from served import serve, verdict

with serve("null", "1M") as nbdkit:
    client = nbdkit.connect()
    client.pwrite(b"x" * 512, 0)
    got = client.pread(512, 0)
verdict(got == bytes(512), "512 bytes written read back as zeroes")
