#!/usr/bin/python3
"""nbdkit-sparse-random-plugin: the same byte, read by two requests, differs."""
from served import serve, verdict

with serve("sparse-random", "1M", "percent=100", "seed=1") as nbdkit:
    client = nbdkit.connect()
    blocks = range(0, 1 << 20, 4096)
    differing = [at for at in blocks if client.pread(2, at)[1:] != client.pread(1, at + 1)]
verdict(differing, f"the second byte of {len(differing)} of {len(blocks)} blocks depends on where "
        "the request begins")
