"""What plugins do to a fuzzer: reported, contained, and the next input runs.

    contained_test.py PLUGIN_REPLAY PLUGINS SEEDS NBDCHECK HOSTILE
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import time
import unittest

replay = plugins = seeds = nbdcheck = hostile = ""  # set below


def run(plugin, arguments, *options, inputs=("001", "002"), replayed=False):
    with tempfile.TemporaryDirectory() as directory:
        done = subprocess.run(
            [replay, *options, *(f"{seeds}/{name}" for name in inputs)],
            env=os.environ | {
                "NBDCHECK_PLUGIN": plugin if "/" in plugin else f"{plugins}/{plugin}.so",
                "NBDCHECK_ARGS": arguments,
                "NBDCHECK_ARTIFACTS": directory,
            },
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
            timeout=60, check=False)
        files = {}
        # The watcher writes when the other one has ended, the words last.
        limit = time.monotonic() + 10
        while done.returncode == 1 and time.monotonic() < limit:
            if list(pathlib.Path(directory).glob("*.txt")):
                break
            time.sleep(0.02)
        for path in pathlib.Path(directory).iterdir():
            files[path.suffix] = path.read_text(encoding="utf-8")
        plan = next(pathlib.Path(directory).glob("*.plan"), None)
        status = None
        if plan and replayed:
            status = subprocess.run([nbdcheck, "replay", "--nbdkit=none", plan], check=False,
                                    stdout=subprocess.DEVNULL).returncode
        return done.returncode, done.stdout, files, status


class Contained(unittest.TestCase):
    def both(self, plugin, arguments, words, *options):
        code, said, files, _ = run(plugin, arguments, "--isolate=5", *options)
        self.assertEqual(code, 1, said)
        self.assertIn(words, said)
        self.assertIn("2 inputs, 2 of them did not come to their end", said)
        return said, files

    def test_correct(self):
        code, said, files, _ = run("ramdisk", "size=1M", "--isolate")
        self.assertEqual((code, files), (0, {}), said)

    def test_wrong_data(self):
        inputs = ["001", "060", "061"]
        code, said, files, status = run("faulty-data", "fault=lost-64k size=1M", "--isolate",
                                        inputs=inputs, replayed=True)
        self.assertEqual(code, 1, said)
        self.assertIn("killed by Aborted", said)
        self.assertIn("3 inputs, 1 of them did not come to their end", said)
        self.assertEqual(set(files), {".plan", ".py", ".txt"}, said)
        self.assertIn("fault=lost-64k", files[".plan"])
        self.assertIn("MUST data.", files[".txt"])
        self.assertEqual(status, 1, "the plan shows it again")

    def test_crash(self):
        said, files = self.both("faulty-process", "fault=crash-pwrite", "killed by Segmentation")
        self.assertIn(".plan", files, said)
        self.assertIn("process.crash", files[".txt"])

    def test_exit(self):
        self.both("faulty-process", "fault=exit-pread", "exited with status")

    def test_spin(self):
        self.both("faulty-process", "fault=hang-pread", "not done after 1 s", "--isolate=1")

    def turns_on_us(self, fault, end, *words):
        said, files = self.both(hostile, f"fault={fault}", end)
        self.assertLessEqual({".plan", ".txt"}, set(files), said)
        for word in words:
            self.assertIn(word, files[".txt"])
            self.assertGreaterEqual(said.count(word), 2, said)  # each input's, on the terminal

    def test_fork(self):
        self.turns_on_us("fork", "killed by Aborted", "process.forked-copy")

    def test_standard_descriptors_closed(self):
        self.turns_on_us("close-standard", "killed by Aborted", "process.descriptors",
                     "closed or replaced descriptor 0, 1, 2, which")

    def test_output_replaced(self):
        self.turns_on_us("replace-output", "killed by Aborted", "process.descriptors",
                     "closed or replaced descriptor 1, which")

    def test_own_descriptors_closed(self):
        self.turns_on_us("close-own", "killed by Aborted", "process.descriptors",
                     "closed or replaced descriptors of the fuzzer's own")

    def test_all_descriptors_closed(self):
        self.turns_on_us("close-all", "killed by Aborted", "process.descriptors",
                     "descriptor 0, 1, 2 and the fuzzer's own")

    def test_memory_without_end(self):
        self.turns_on_us("allocate", "killed by Segmentation", "process.crash")


if __name__ == "__main__":
    replay, plugins, seeds, nbdcheck, hostile = (sys.argv.pop(1) for _ in range(5))
    unittest.main()
