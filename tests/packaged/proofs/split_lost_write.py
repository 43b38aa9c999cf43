#!/usr/bin/python3
"""nbdkit-split-plugin: what is written to the second file does not arrive."""
from served import serve, verdict

parts = [("a", b"\1" * 4096), ("b", b"\2" * 4096)]
with serve("split", "a", "b", files=parts) as nbdkit:
    client = nbdkit.connect()
    client.pwrite(b"\xaa" * 512, 4096)
    got = client.pread(512, 4096)
verdict(got != b"\xaa" * 512, f"512 bytes 0xaa written to offset 4096 read back as {got[:4].hex()}...")
