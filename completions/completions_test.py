"""The completions know just the options of --help, and the shells can read them.

    completions_test.py DIRECTORY NBDCHECK
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import unittest

files = pathlib.Path()  # set below
nbdcheck = ""


def output(*command, **more):
    return subprocess.run(command, capture_output=True, text=True, check=True, **more).stdout


def options(text):
    return set(re.findall(r"--([a-z][a-z-]*[a-z])", text))


class Completions(unittest.TestCase):
    def setUp(self):
        self.known = options(output(nbdcheck, "--help"))
        self.assertIn("profile", self.known)

    def test_bash(self):
        self.assertEqual(options((files / "nbdcheck.bash").read_text(encoding="utf-8")), self.known)

    def complete(self, *words):
        """What bash would offer."""
        script = (
            'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
            '_nbdcheck; printf "%s\\n" "${COMPREPLY[@]}"'
        )
        script_file = str(files / "nbdcheck.bash")
        return output("bash", "-c", script, "bash", script_file, *words, cwd="/").split()

    def test_bash_offers(self):
        self.assertEqual(self.complete(nbdcheck, "--profile", "=", "q"), ["quick"])
        self.assertEqual(self.complete(nbdcheck, "--color", "="), ["auto", "always", "never"])
        self.assertIn("data.read-your-writes", self.complete(nbdcheck, "explain", "data."))
        self.assertEqual(self.complete(nbdcheck, "list", "--f"), ["--format="])
        self.assertIn("data.random", self.complete(nbdcheck, "--only", "=", "data"))
        self.assertIn("replay", self.complete(nbdcheck, "rep"))
        self.assertIn("--target=", self.complete(nbdcheck, "replay", "--t"))
        self.assertIn("usr", self.complete(nbdcheck, "us"))

    def test_zsh(self):
        text = (files / "_nbdcheck").read_text(encoding="utf-8")
        lines = [line for line in text.splitlines() if line.lstrip().startswith("'")]
        self.assertEqual(options("\n".join(lines)), self.known)
        if not shutil.which("zsh"):
            self.skipTest("zsh is not installed")
        output("zsh", "-n", str(files / "_nbdcheck"))

    def test_fish(self):
        text = (files / "nbdcheck.fish").read_text(encoding="utf-8")
        self.assertEqual(set(re.findall(r"nbdcheck .*-l ([a-z-]+)", text)), self.known)
        if not shutil.which("fish"):
            self.skipTest("fish is not installed")
        output("fish", "--no-execute", str(files / "nbdcheck.fish"))


if __name__ == "__main__":
    files, nbdcheck = pathlib.Path(sys.argv.pop(1)).resolve(), os.path.abspath(sys.argv.pop(1))
    unittest.main()
