#!/usr/bin/python3
"""memory with allocator=zstd: block status of a place that nobody wrote crashes the server, or
tells one thing now and another then."""
import signal

import nbd

from served import serve, verdict

answers, crashes = set(), 0
for _ in range(40):
    with serve("memory", "1M", "allocator=zstd") as nbdkit:
        client = nbdkit.connect("base:allocation")
        try:
            client.pread(512, 0)
            client.block_status(4096, 668801, lambda _c, _o, entries, _e: answers.add(entries[1]))
        except nbd.Error:
            crashes += nbdkit.ended() == -signal.SIGSEGV
    if crashes or len(answers) > 1:
        break
verdict(crashes or len(answers) > 1,
        f"{crashes} crashes, and answers of type {sorted(answers)} to the same question")
