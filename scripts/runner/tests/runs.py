"""What the tests of the runner share: a directory of its own, and an nbdcheck that is quick.

The quick nbdcheck reads what to do from its arguments for the plugin:
finding=RULE, severity=S, seconds=N, do=WORD (see `main` below).
"""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
SCRIPTS = HERE.parent.parent
RUN = SCRIPTS / "nbdcheck-run"
if str(SCRIPTS) not in sys.path:
    sys.path.insert(0, str(SCRIPTS))

BUILD = pathlib.Path(os.environ.get("NBDCHECK_BUILD", SCRIPTS.parent / "build" / "release"))
NBDCHECK = BUILD / "conformance" / "nbdcheck"


class Case(unittest.TestCase):
    def setUp(self):
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="nbdcheck-run-test-"))
        self.addCleanup(shutil.rmtree, self.work, ignore_errors=True)
        self.mark = f"NBDCHECK_RUN_TEST={self.work.name}"
        self.nbdcheck = self.work / "nbdcheck"
        self.nbdcheck.write_text(f"#!/bin/sh\nexec {sys.executable} -SE {HERE / 'quick.py'} "
                                 f'{self.work / "log"} "$@"\n', encoding="ascii")
        self.nbdcheck.chmod(0o755)

    def environment(self):
        name, _, value = self.mark.partition("=")
        return os.environ | {name: value, "TMPDIR": str(self.work), "NO_COLOR": "1"}

    def start(self, *arguments, **more):
        return subprocess.Popen(
            [sys.executable, RUN, *map(str, arguments)], cwd=self.work, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=self.environment(), start_new_session=True, **more)

    def run_it(self, *arguments, code=None, quick=True):
        """Runs nbdcheck-run with the quick nbdcheck."""
        if quick:
            arguments = (*arguments, f"--nbdcheck={self.nbdcheck}")
        with self.start(*arguments) as process:
            out, err = process.communicate(timeout=120)
        process.out, process.err = out, err
        if code is not None:
            self.assertEqual(process.returncode, code, out + err)
        return process

    def assert_refused(self, done, *words):
        """One line, exit code 2."""
        self.assertEqual(done.returncode, 2, done.out + done.err)
        self.assertEqual(len(done.err.splitlines()), 1, done.err)
        for word in words:
            self.assertIn(word, done.err)

    def calls(self):
        """The command lines that the quick nbdcheck was called with, to check plugins."""
        try:
            lines = (self.work / "log").read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in lines]

    def summary(self, directory="nbdcheck-results"):
        done = self.run_it("report", directory, "--summary=summary.json", quick=False)
        self.assertNotIn("Traceback", done.err)
        return json.loads((self.work / "summary.json").read_text(encoding="utf-8"))

    def processes(self):
        """Those of this test that still run."""
        found = []
        for entry in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                if (self.mark.encode() in (entry / "environ").read_bytes().split(b"\0")
                        and (entry / "stat").read_text().rpartition(")")[2].split()[0] != "Z"):
                    found.append(int(entry.name))
            except OSError:
                pass
        return found

    def assert_clean(self, patience=30.0):
        """No process is left, nor scratch directory."""
        end = time.monotonic() + patience
        while self.processes() and time.monotonic() < end:
            time.sleep(0.05)
        left = self.processes()
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        self.assertEqual(left, [])
        self.assertEqual([p.name for p in self.work.glob("nbdcheck-run-*")], [])

    def wait_for(self, condition, patience=30.0):
        end = time.monotonic() + patience
        while not condition():
            self.assertLess(time.monotonic(), end, "it does not happen")
            time.sleep(0.02)


def main():
    """77 tells ctest that all was skipped; the reasons are in the output."""
    # What is ignored stays so in all that is started, and these are told to stop.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    program = unittest.main(module="__main__", exit=False, verbosity=2)
    result = program.result
    if not result.wasSuccessful():
        sys.exit(1)
    sys.exit(77 if result.testsRun and result.testsRun == len(result.skipped) else 0)
