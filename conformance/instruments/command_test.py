"""The command with plugins that were built with sanitizers: which build runs.

    command_test.py NBDCHECK PLUGINS
"""

import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

nbdcheck = plugins = pathlib.Path()  # set below


def run(program, *arguments):
    return subprocess.run([program, *map(str, arguments)], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, check=False)


class Command(unittest.TestCase):
    def one_line(self, done, words):
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertEqual(done.stderr.count("\n"), 1)
        self.assertIn(words, done.stderr)

    def test_a_missing_build_is_named(self):
        with tempfile.TemporaryDirectory() as directory:
            alone = shutil.copy2(nbdcheck, directory)
            for kind, build in (("address", "asan"), ("undefined", "asan"), ("thread", "tsan"),
                                ("leak", "lsan")):
                plugin = plugins / f"faulty-instrumented-{kind}.so"
                self.one_line(run(alone, plugin), f"{directory}/nbdcheck-{build}, which is not there")

    def test_valgrind_and_a_sanitizer_do_not_mix(self):
        plugin = plugins / "faulty-instrumented-address.so"
        self.one_line(run(nbdcheck, "--valgrind", plugin), "does not go with --valgrind")

    def test_the_other_build_takes_over(self):
        with tempfile.TemporaryDirectory() as directory:
            done = run(nbdcheck, "--nbdkit=none", "--only=^abi.registration$", "--jobs=1",
                       f"--artifacts={directory}", plugins / "faulty-instrumented-address.so")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


if __name__ == "__main__":
    nbdcheck, plugins = (pathlib.Path(sys.argv.pop(1)) for _ in range(2))
    unittest.main()
