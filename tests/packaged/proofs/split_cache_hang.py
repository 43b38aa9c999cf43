#!/usr/bin/python3
"""nbdkit-split-plugin: NBD_CMD_CACHE is never answered."""
import time

from served import serve, verdict

SECONDS = 3
parts = [("a", b"\1" * 4096), ("b", b"\2" * 4096)]
with serve("split", "a", "b", files=parts) as nbdkit:
    client = nbdkit.connect()
    cookie = client.aio_cache(512, 0)
    end = time.monotonic() + SECONDS
    while time.monotonic() < end and not client.aio_command_completed(cookie):
        client.poll(100)
    answered = client.aio_command_completed(cookie)
verdict(not answered, f"no answer to a cache request in {SECONDS} s")
