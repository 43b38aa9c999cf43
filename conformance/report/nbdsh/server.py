# ------------------------------------------------------------------------------
# What follows is the same in every script that nbdcheck writes.

import array
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

try:
    import nbd
except ImportError:
    print("this script needs libnbd's Python module (package python3-libnbd)")
    sys.exit(2)

FUA = getattr(nbd, "CMD_FLAG_FUA", 1)
NO_HOLE = getattr(nbd, "CMD_FLAG_NO_HOLE", 2)
DF = getattr(nbd, "CMD_FLAG_DF", 4)
REQ_ONE = getattr(nbd, "CMD_FLAG_REQ_ONE", 8)
FAST_ZERO = getattr(nbd, "CMD_FLAG_FAST_ZERO", 16)
ALLOCATION = "base:allocation"
REPLY_LIMIT = 5  # seconds
LONGEST_MAP = 0xFFFF0000


class Bug(Exception):
    """What must not be."""

    def __init__(self, what, expected="", actual=""):
        super().__init__(what)
        self.expected = expected
        self.actual = actual


class CannotRun(Exception):
    """Nothing can be said."""


class Hang(Exception):
    pass


def wait_for(handle, done):
    """The synchronous calls of libnbd would wait for ever."""
    end = time.monotonic() + REPLY_LIMIT
    while not done():
        if time.monotonic() > end:
            raise Hang()
        handle.poll(100)


def command(handle, name, *arguments):
    """handle.pread(...) and so on, within the limit."""
    cookie = getattr(handle, "aio_" + name)(*arguments)
    wait_for(handle, lambda: handle.aio_command_completed(cookie))


def copied(argument, files):
    """An argument of the plugin with the files of the user's it names as copies."""
    prefix, path = argument
    copy = os.path.join(files, f"{len(os.listdir(files))}-{os.path.basename(path.rstrip('/'))}")
    if os.path.isdir(path):
        shutil.copytree(path, copy, symlinks=True)
    else:
        subprocess.run(["cp", "--sparse=always", "--reflink=auto", path, copy], check=True)
    return prefix + copy


class Nbdkit:
    """The plugin in the real nbdkit, on a unix socket."""

    def __init__(self, *options):
        self.connected = False
        self.directory = tempfile.mkdtemp(prefix="nbdcheck-")
        try:
            files = os.path.join(self.directory, "files")
            os.mkdir(files)
            self.socket = os.path.join(self.directory, "socket")
            self.log = os.path.join(self.directory, "log")
            arguments = [a if isinstance(a, str) else copied(a, files) for a in ARGUMENTS]
            command = [os.environ.get("NBDKIT", "nbdkit"), "-f", "--exit-with-parent",
                       "-U", self.socket, *OPTIONS, *options, PLUGIN, *arguments]
            with open(self.log, "wb") as log:
                self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log,
                                                stderr=log, start_new_session=True)
        except OSError as error:
            shutil.rmtree(self.directory, ignore_errors=True)
            raise CannotRun(f"nbdkit cannot be started: {error}") from None

    def close(self):
        # Not SIGTERM: it would wait for clients that are still connected.
        with contextlib.suppress(OSError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def stop(self):
        """As an administrator would, all clients having left."""
        self.process.terminate()
        try:
            status = self.process.wait(REPLY_LIMIT)
        except subprocess.TimeoutExpired:
            raise Bug("nbdkit does not end", "its end", f"nothing for {REPLY_LIMIT} s") from None
        if status:
            raise Bug(f"nbdkit ended with status {status} when it was stopped", "0",
                      self.last_words())

    def last_words(self):
        with open(self.log, encoding="utf-8", errors="replace") as log:
            lines = log.read().splitlines()
        return lines[-1] if lines else "it printed nothing"

    def check_alive(self, doing):
        """A client sees the end of a connection before anybody sees that of the process."""
        try:
            status = self.process.wait(0.5)
        except subprocess.TimeoutExpired:
            return
        how = f"exited with status {status}"
        if status < 0:
            how = f"was killed by {signal.Signals(-status).name}"
        raise Bug(f"nbdkit {how}: {doing}", "nbdkit goes on serving", self.last_words())

    def connect(self, export=None):
        end = time.monotonic() + REPLY_LIMIT
        while True:
            handle = nbd.NBD()
            handle.set_strict_mode(0)
            handle.set_full_info(True)
            handle.set_export_name(EXPORT if export is None else export)
            handle.add_meta_context(ALLOCATION)
            try:
                handle.aio_connect_unix(self.socket)
                wait_for(handle, lambda: not handle.aio_is_connecting())
                if handle.aio_is_ready():
                    return handle
                raise nbd.Error("the handshake failed", 0)
            except nbd.Error as error:
                # Not there yet, or there a moment before nbdkit listens to it.
                starting = error.errno in ("ENOENT", "ECONNREFUSED") and not self.connected
                if not starting or time.monotonic() > end:
                    self.check_alive("a client connects")
                    raise
                if (self.process.poll() or 0) < 0:
                    self.check_alive("it has not begun to serve")
                if self.process.poll() is not None:
                    raise CannotRun("nbdkit does not serve: " + self.last_words()) from None
                time.sleep(0.01)
            finally:
                if handle.aio_is_ready():
                    self.connected = True
