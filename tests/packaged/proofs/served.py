"""Serves a plugin with the real nbdkit, in the foreground on a unix socket.

A proof is a script that exits 0 when the bug shows, 1 when it does not.
"""
import contextlib
import os
import subprocess
import tempfile
import time

import nbd  # python3-libnbd

SCRIPTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, os.pardir, os.pardir,
                       "reference-plugins")


class Served:
    def __init__(self, process, socket, log):
        self.process = process
        self.socket = socket
        self._log = log

    def connect(self, *meta_contexts, export=""):
        end = time.monotonic() + 5
        while True:
            handle = nbd.NBD()
            handle.set_export_name(export)
            for context in meta_contexts:
                handle.add_meta_context(context)
            try:
                handle.connect_unix(self.socket)
                return handle
            except nbd.Error as error:
                # The socket is there a moment before nbdkit listens.
                if error.errno != "ECONNREFUSED" or time.monotonic() > end:
                    raise
                time.sleep(0.01)

    def ended(self, seconds=5):
        """The exit status, negative for a signal; None: it still runs."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def log(self):
        with open(self._log, encoding="utf-8", errors="replace") as text:
            return text.read()


@contextlib.contextmanager
def serve(*arguments, files=()):
    """`files`: (name, contents) pairs, made in the directory nbdkit runs in."""
    with tempfile.TemporaryDirectory(prefix="nbdcheck-proof-") as directory:
        for name, contents in files:
            with open(os.path.join(directory, name), "wb") as out:
                out.write(contents)
        socket = os.path.join(directory, "socket")
        ready = os.path.join(directory, "pid")  # written when it listens
        log = os.path.join(directory, "log")
        with open(log, "wb") as err:
            process = subprocess.Popen(["nbdkit", "-f", "-U", socket, "-P", ready, *arguments],
                                       cwd=directory, stdin=subprocess.DEVNULL, stdout=err,
                                       stderr=err)
        try:
            while not os.path.exists(ready) and process.poll() is None:
                time.sleep(0.01)
            yield Served(process, socket, log)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()


def verdict(shows, what):
    """Ends the proof."""
    print(("shown: " if shows else "NOT shown: ") + what)
    raise SystemExit(0 if shows else 1)
