#!/usr/bin/python3
"""What one sees while it runs: live on a terminal, plain lines elsewhere."""

import contextlib
import fcntl
import io
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import time
import unittest

import runs

from runner.events import Follower
from runner.job import Job
from runner.progress import PlainProgress

try:
    import rich
except ImportError:
    rich = None


class OnATerminal(runs.Case):
    def see(self, *words, environment=(), stop_at=None):
        """What a terminal of 100 columns is sent."""
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        variables = self.environment() | {"TERM": "xterm-256color"} | dict(environment)
        variables = {key: value for key, value in variables.items() if value is not None}
        process = subprocess.Popen(
            [sys.executable, runs.RUN, *words, f"--nbdcheck={self.nbdcheck}"], cwd=self.work,
            stdin=theirs, stdout=theirs, stderr=theirs, env=variables, start_new_session=True)
        os.close(theirs)
        seen = b""
        with contextlib.suppress(OSError):  # EIO: the other side has closed it
            while part := os.read(ours, 65536):
                seen += part
                if stop_at and stop_at in seen:
                    process.send_signal(signal.SIGINT)
                    stop_at = None
        os.close(ours)
        self.code = process.wait(timeout=60)
        return seen.decode(errors="replace")

    @unittest.skipUnless(rich, "python3-rich is not installed")
    def test_live(self):
        seen = self.see("p seconds=1.2 finding=data.read-your-writes", "q seconds=1.2",
                        environment={"NO_COLOR": None})
        self.assertEqual(self.code, 1)
        self.assertIn("\x1b[", seen)
        self.assertIn("0 of 2;", seen)
        self.assertIn("of about", seen)
        self.assertIn("MUST     data.read-your-writes", seen)
        self.assertIn("NOT CONFORMANT", seen)

    @unittest.skipUnless(rich, "python3-rich is not installed")
    def test_live_and_interrupted(self):
        seen = self.see("p seconds=60", environment={"NO_COLOR": None}, stop_at=b"0 of 1;")
        self.assertEqual(self.code, 130)
        self.assertIn("\x1b[?25h", seen, "the cursor is there again")
        self.assert_clean()

    def test_no_color(self):
        seen = self.see("p", environment={"NO_COLOR": "1"})
        self.assertNotIn("\x1b", seen)
        self.assertIn("[1/1]", seen)

    def test_a_dumb_terminal(self):
        self.assertNotIn("\x1b", self.see("p", environment={"NO_COLOR": None, "TERM": "dumb"}))


class FakeRun:
    def __init__(self, place):
        self.place = str(place)

    def job_directory(self, job_id):
        return os.path.join(self.place, job_id)


class Events(runs.Case):
    def test_lines_that_are_not_whole_yet(self):
        path = self.work / "events.jsonl"
        follower = Follower(path)
        self.assertEqual(follower.news(), [])
        with open(path, "w", encoding="utf-8") as out:
            out.write('{"event": "progress", "check": "data.random", "done": 3, "total": 9}\n'
                      'rubbish\n[1]\n{"event": "fin')
            out.flush()
            self.assertEqual(len(follower.news()), 1)
            self.assertEqual((follower.check, follower.done, follower.total),
                             ("data.random", 3, 9))
            out.write('ding", "rule": "x.y"}\n')
            out.flush()
            self.assertEqual(follower.news(), [{"event": "finding", "rule": "x.y"}])
        path.write_text('{"event": "begin"}\n')  # a new attempt
        self.assertEqual(follower.news(), [{"event": "begin"}])

    def test_time_left(self):
        jobs = [Job(name=str(i), plugin="p", seed=i) for i in range(10)]
        progress = PlainProgress(FakeRun(self.work), jobs, 2, io.StringIO())
        self.assertAlmostEqual(progress.seconds_left(), 10 * 4 / 2)
        for job in jobs[:2]:
            progress.started(job)
            progress.running[job.id].begin = time.monotonic() - 10
            progress.ended(job, {"state": "limit", "reason": "slow"}, None)
        self.assertAlmostEqual(progress.seconds_left(), 8 * 10 / 2, delta=15)

    def test_a_sign_of_life(self):
        out = io.StringIO()
        job = Job(name="p", plugin="p")
        progress = PlainProgress(FakeRun(self.work), [job], 1, out)
        progress.started(job)
        progress.tick()
        self.assertEqual(out.getvalue(), "")
        progress.told -= 100
        progress.tick()
        self.assertIn("running for", out.getvalue())
        self.assertIn("starting", out.getvalue())


if __name__ == "__main__":
    runs.main()
