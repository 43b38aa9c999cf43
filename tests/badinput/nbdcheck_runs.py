"""Runs nbdcheck for tests: in a world of its own, and looks at what it leaves."""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import uuid

LIMIT = 120  # seconds; nothing here takes more than a few
QUICK = ("--profile=quick", "--time=0.2")

build = pathlib.Path()  # set by main()


def main():
    """unittest.main for `TEST.py BUILD_DIRECTORY [unittest options]`."""
    global build
    if len(sys.argv) < 2:
        sys.exit(f"usage: {sys.argv[0]} BUILD_DIRECTORY [unittest options]")
    build = pathlib.Path(sys.argv.pop(1)).resolve()
    # Whoever runs the tests in the background may have had signals ignored, and
    # what is ignored stays so in all that is started.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    unittest.main(module="__main__")


def program():
    return str(build / "conformance" / "nbdcheck")


def plugin(name):
    return str(build / "plugins" / f"{name}.so")


def processes_with(mark):
    """Ids of the living processes that were started with `mark` in their environment."""
    found = []
    for process in pathlib.Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            state = (process / "stat").read_text().rpartition(")")[2].split()[0]
            if mark.encode() in (process / "environ").read_bytes() and state != "Z":
                found.append(int(process.name))
        except OSError:
            pass
    return found


def described(process):
    """What a process is and what it is doing, for a failure's message."""
    parts = [str(process)]
    for name in ("cmdline", "stat", "wchan"):
        try:
            text = pathlib.Path(f"/proc/{process}/{name}").read_text(errors="replace")
            parts.append(text.replace("\0", " ").strip())
        except OSError as error:
            parts.append(f"{name}: {error.strerror}")
    return " | ".join(parts)


class Case(unittest.TestCase):
    """Every run has a directory, a TMPDIR and a mark of its own."""

    def setUp(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="nbdcheck-badinput-"))
        self.addCleanup(shutil.rmtree, self.directory, True)
        self.scratch = self.directory / "scratch"
        self.scratch.mkdir()
        self.work = self.directory / "work"
        self.work.mkdir()
        self.mark = f"NBDCHECK_TEST_MARK={uuid.uuid4()}"
        self.environment = dict(os.environ, TMPDIR=str(self.scratch))
        key, _, value = self.mark.partition("=")
        self.environment[key] = value
        self.addCleanup(self.kill_leftovers)

    def kill_leftovers(self):
        for process in processes_with(self.mark):
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def start(self, *arguments, **options):
        options.setdefault("cwd", self.work)
        options.setdefault("env", self.environment)
        for stream in ("stdin", "stdout", "stderr"):
            if options.setdefault(stream, None) is None:
                options[stream] = subprocess.DEVNULL if stream == "stdin" else subprocess.PIPE
        command = options.pop("command", [program()])
        return subprocess.Popen([*command, *map(str, arguments)], text=True, errors="replace",
                                **options)

    def run_it(self, *arguments, **options):
        with self.start(*arguments, **options) as process:
            try:
                output, errors = process.communicate(timeout=LIMIT)
            except subprocess.TimeoutExpired:
                process.kill()
                self.fail(f"nbdcheck {arguments} was still running after {LIMIT} s")
        return subprocess.CompletedProcess(arguments, process.returncode, output, errors)

    def assert_clean(self):
        """Nothing runs any more, and no scratch directory is left."""
        self.assert_no_process()
        self.assertEqual(sorted(os.listdir(self.scratch)), [])

    def assert_no_process(self, patience=30):
        """What was killed may wait for a slow disk before it is gone; what was left stays."""
        deadline = time.monotonic() + patience
        while (left := processes_with(self.mark)) and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertEqual([described(process) for process in left], [],
                         f"these processes are still there after {patience} s")

    def assert_refused(self, done, *words, code=2):
        """One clear line on stderr, nothing on stdout, the right exit code."""
        self.assertEqual(done.returncode, code, f"{done.args}\n{done.stdout}\n{done.stderr}")
        lines = done.stderr.splitlines()
        self.assertEqual(len(lines), 1, done.stderr)
        self.assertTrue(lines[0].startswith("nbdcheck: "), lines[0])
        self.assertLess(len(lines[0]), 400, lines[0])
        self.assertTrue(lines[0].isprintable(), lines[0])
        for word in words:
            self.assertIn(word, lines[0])
        self.assertEqual(done.stdout, "")
        self.assert_clean()

    def assert_verdict(self, done, code):
        """It came to its end: a verdict in the last line, and this exit code."""
        self.assertEqual(done.returncode, code, f"{done.args}\n{done.stdout}\n{done.stderr}")
        word = {0: "CONFORMANT", 1: "NOT CONFORMANT", 4: "NOTHING CHECKED"}[code]
        last = done.stdout.splitlines()[-1]
        self.assertTrue(last.startswith(word), done.stdout)
        self.assert_clean()

    def write(self, name, content):
        path = self.work / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path
