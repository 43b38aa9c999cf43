"""What the placeholders in arguments stand for: files and servers made for one run.

    @FILE:SIZE@    a file full of data
    @SPARSE:SIZE@  a large file with a little data in it
    @TREE@ @DISKS@ @EMPTY@  directories: files, disk images, nothing
    @SCRIPT:PATH@  a script of reference-plugins
    @PLUGIN:NAME@  an installed plugin that is a script
    @SERVER:ARGS@  the socket of a local nbdkit ARGS
"""

import os
import re
import shlex
import shutil
import socket
import subprocess
import tempfile
import time

from .common import bytes_of
from .packaged import plugin_directory, scripts_directory

LONGEST_SOCKET = 100  # bytes; unix(7) allows 107
PLACEHOLDER = re.compile(r"@([A-Z]+)(?::([^@]*))?@")


class Unavailable(Exception):
    """Something the run needs is not there: it is skipped, and this is the reason."""


def pattern_block(number):
    """512 bytes that no other block has, never zero."""
    return b"".join((number * 64 + i + 1).to_bytes(8, "little") for i in range(64))


def listens(path):
    """Whether a server answers there: the socket exists a moment before it does."""
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(path)
            return True
        except OSError:
            return False


class Materials:
    """Files in a directory of its own; close() ends the servers."""

    def __init__(self, directory, plugins=None, sockets=None):
        self.directory = directory
        self.sockets = sockets or directory
        self.plugins = plugins
        self.count = 0
        self.servers = []
        self.elsewhere = None

    def _path(self, name, directory=None):
        self.count += 1
        return os.path.join(directory or self.directory, f"{self.count}-{name}")

    def file(self, size):
        path = self._path("file.img")
        length = bytes_of(size)
        with open(path, "wb") as out:
            for number in range((length + 511) // 512):
                out.write(pattern_block(number)[:length - number * 512])
        return path

    def sparse(self, size):
        """A little data at the start, in the middle and at the end."""
        path = self._path("sparse.img")
        length = bytes_of(size)
        with open(path, "wb") as out:
            out.truncate(length)
            for place in (0, length // 2, length - 65536):
                out.seek(place)
                out.write(b"".join(pattern_block(n) for n in range(128)))
        return path

    def tree(self, _):
        path = self._path("tree")
        os.makedirs(os.path.join(path, "below"))
        for name, length in (("HELLO.TXT", 6), ("EMPTY", 0), ("below/DATA.BIN", 100_001)):
            with open(os.path.join(path, name), "wb") as out:
                out.write(b"".join(pattern_block(n) for n in range(length // 512 + 1))[:length])
        return path

    def directory_of_disks(self, _):
        path = self._path("disks")
        os.makedirs(path)
        for name in ("one.img", "two.img"):
            with open(os.path.join(path, name), "wb") as out:
                out.write(b"".join(pattern_block(n) for n in range(300)))
        return path

    def empty_directory(self, _):
        path = self._path("empty")
        os.makedirs(path)
        return path

    def script(self, name):
        path = scripts_directory() / name
        if not path.is_file():
            raise Unavailable(f"there is no script {name}")
        return str(path)

    def plugin(self, name):
        plugins = self.plugins or plugin_directory()
        if not plugins:
            raise Unavailable("nbdkit is not installed")
        return os.path.join(plugins, f"nbdkit-{name}-plugin")

    def server(self, command):
        """An nbdkit of our own, on a unix socket."""
        path = self._path("sock", self.sockets)
        if len(os.fsencode(path)) > LONGEST_SOCKET:
            self.elsewhere = self.elsewhere or tempfile.mkdtemp(prefix="nbdcheck-")
            path = self._path("sock", self.elsewhere)
        nbdkit = shutil.which("nbdkit", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
        if not nbdkit:
            raise Unavailable("nbdkit is not installed")
        server = subprocess.Popen(
            [nbdkit, "-f", "-U", path, *shlex.split(command)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.servers.append(server)
        while not listens(path):
            if server.poll() is not None:
                raise Unavailable(f"nbdkit {command} does not start")
            time.sleep(0.01)
        return path

    def expand(self, text):
        kinds = {"FILE": self.file, "SPARSE": self.sparse, "TREE": self.tree,
                 "DISKS": self.directory_of_disks, "EMPTY": self.empty_directory,
                 "SCRIPT": self.script, "PLUGIN": self.plugin, "SERVER": self.server}
        return PLACEHOLDER.sub(
            lambda m: kinds[m[1]](m[2]) if m[1] in kinds else m[0], text)

    def close(self):
        for server in self.servers:
            server.terminate()
            server.wait()
        if self.elsewhere:
            shutil.rmtree(self.elsewhere, ignore_errors=True)
