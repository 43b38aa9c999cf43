"""What the inputs of the seed corpus, and those changed at random, find in plugins.

    found_test.py PLUGIN_REPLAY PLUGINS SEEDS NBDCHECK
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import unittest

replay = plugins = seeds = nbdcheck = ""  # set below

# One for each way of judging: what the server notices, what is asked for again, what
# comes of aiming, what guarded buffers show.
FAULTS = (
    ("faulty-data fault=return-count", "data.return-value"),
    ("faulty-extents fault=gap-ignored", "extents.contiguous"),
    ("faulty-extents fault=bad-type", "extents.type"),
    ("faulty-extents fault=silent", "error.message"),
    ("faulty-data fault=refuse-long", "data.no-needless-error"),
    ("faulty-data fault=last-byte-read", "data.last-byte"),
    ("faulty-space fault=fast-errno", "zero.fast-errno"),
    ("faulty-space fault=declined-errno", "zero.decline-errno"),
    ("faulty-space fault=trim-error", "trim.errno"),
    ("faulty-extents fault=window", "extents.stable"),
    ("faulty-extents fault=flip", "extents.stable"),
    ("faulty-space fault=zero-2g size=8G", "zero.reads-zero"),
    ("faulty-space fault=trim-2g size=8G", "trim.nothing-outside"),
    ("faulty-extents fault=big-count size=8G", "extents.no-error"),
    ("faulty-data fault=offset-31 size=4G", "data.nothing-outside"),
    ("faulty-data fault=modify", "data.buffer-modified"),
    ("faulty-data fault=read-tail", "data.buffer-filled"),
)


def run(plugin, *words, **environment):
    """Exit status, output, the rule found and its plan's text."""
    name, *arguments = plugin.split()
    with tempfile.TemporaryDirectory() as directory:
        done = subprocess.run(
            [replay, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            errors="replace", timeout=60, check=False,
            env=os.environ | {"NBDCHECK_PLUGIN": f"{plugins}/{name}.so",
                              "NBDCHECK_ARGS": " ".join(arguments),
                              "NBDCHECK_ARTIFACTS": directory} | environment)
        limit = time.monotonic() + 10  # a watcher writes when the other one has ended
        while done.returncode < 0 and time.monotonic() < limit:
            if list(pathlib.Path(directory).glob("*.txt")):
                break
            time.sleep(0.02)
        plan = next(pathlib.Path(directory).glob("*.plan"), None)
        status = None
        if plan:
            status = subprocess.run([nbdcheck, "replay", "--nbdkit=none", plan], check=False,
                                    stdout=subprocess.DEVNULL).returncode
        rule = re.sub("-[0-9a-f]{8}$", "", plan.stem) if plan else ""
        return done.returncode, done.stdout, rule, status


def guarded(name):
    return pathlib.Path(seeds, name).read_bytes()[1] & 0x40


class Found(unittest.TestCase):
    def test_faults(self):
        for plugin, rule in FAULTS:
            with self.subTest(plugin):
                code, said, found, status = run(plugin, seeds, NBDCHECK_FAIL_ON="quality")
                self.assertEqual((code, found), (-6, rule), said[-2000:])
                self.assertEqual(status, 1, "the plan shows it again")

    def test_guarded_buffers(self):
        with_guards = [f"{seeds}/{name}" for name in sorted(os.listdir(seeds)) if guarded(name)]
        self.assertGreaterEqual(len(with_guards), 2)
        for fault, rule in (("keep", "data.buffer-kept"), ("overrun", "data.buffer-overrun"),
                            ("modify", "data.buffer-modified"),
                            ("read-sector", "data.buffer-filled")):
            with self.subTest(fault):
                code, said, found, status = run(f"faulty-data fault={fault}", *with_guards)
                self.assertLess(code, 0)
                self.assertEqual(found, rule, said[-2000:])
                self.assertEqual(status, 1, "the plan shows it again")

    def test_severities(self):
        plugin = "faulty-space fault=trim-error"  # of severity QUALITY
        code, said, *_ = run(plugin, seeds)
        self.assertEqual(code, 0, said[-2000:])
        plugin = "faulty-data fault=refuse-long"  # SHOULD
        self.assertEqual(run(plugin, seeds, NBDCHECK_FAIL_ON="must")[0], 0)
        self.assertEqual(run(plugin, seeds, NBDCHECK_SKIP="data.no-needless-error")[0], 0)

    def test_nonsense(self):
        for name, value, said in (("NBDCHECK_FAIL_ON", "all", "must, should or quality, not all"),
                                  ("NBDCHECK_SKIP", "data.x", "no rule is called data.x")):
            code, words, *_ = run("ramdisk size=1M", seeds, **{name: value})
            self.assertEqual(code, 2)
            self.assertIn(said, words)
        for option in ("--mutate=", "--mutate=x", "--isolate=x"):
            code, words, *_ = run("ramdisk size=1M", option, seeds)
            self.assertEqual(code, 2)
            self.assertIn(f"{option}: not a number of seconds", words)

    def test_correct(self):
        for plugin in ("ramdisk size=1M", "sparse size=1000001", "legal-zero mode=late",
                       "legal-trim mode=garbage", "legal-extents mode=from-start",
                       "model-parallel size=1M"):
            with self.subTest(plugin):
                code, said, *_ = run(plugin, "--mutate=1", seeds)
                self.assertEqual(code, 0, said[-2000:])
                self.assertGreater(int(re.search(r"(\d+) changed inputs", said)[1]), 0)


if __name__ == "__main__":
    replay, plugins, seeds, nbdcheck = (sys.argv.pop(1) for _ in range(4))
    unittest.main()
