"""The manual pages render without a warning, and know every option.

    man_test.py DIRECTORY_OF_THE_PAGES NBDCHECK NBDCHECK-RUN
"""

import pathlib
import re
import shutil
import subprocess
import sys
import unittest

pages = pathlib.Path()  # set below
nbdcheck = runner = ""


def run_it(*command):
    return subprocess.run(command, capture_output=True, text=True, check=False)


def options(text):
    return set(re.findall(r"--[a-z][a-z-]*[a-z]", text))


class Man(unittest.TestCase):
    def rendered(self, name):
        done = run_it("groff", "-man", "-Kutf8", "-Tutf8", "-ww", "-P-cbou", pages / name)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout

    def test_groff_has_nothing_to_say(self):
        if not shutil.which("groff"):
            self.skipTest("groff is not installed")
        self.assertIn("EXIT STATUS", self.rendered("nbdcheck.1"))
        self.assertIn("EXIT STATUS", self.rendered("nbdcheck-run.1"))
        text = self.rendered("nbdcheck-rules.7")
        for rule in run_it(nbdcheck, "list", "--rules").stdout.splitlines():
            self.assertIn(f"\n   {rule.split()[0]}\n", text)
        # What Markdown or roff would leave behind when misunderstood.
        self.assertNotRegex(text, r"\\f[BIR]|```|\*\*")

    def test_mandoc_has_nothing_to_say(self):
        if not shutil.which("mandoc"):
            self.skipTest("mandoc is not installed")
        for name in ("nbdcheck.1", "nbdcheck-run.1", "nbdcheck-rules.7"):
            done = run_it("mandoc", "-T", "lint", "-W", "warning", pages / name)
            self.assertEqual((done.stdout, done.stderr), ("", ""))

    def test_options_are_those_of_help(self):
        page = (pages / "nbdcheck.1").read_text(encoding="utf-8").replace("\\-", "-")
        # gdb has options too.
        page = page.replace("gdb --args", "gdb")
        self.assertEqual(options(page), options(run_it(nbdcheck, "--help").stdout))

    def test_options_of_the_runner_are_those_of_its_help(self):
        page = (pages / "nbdcheck-run.1").read_text(encoding="utf-8").replace("\\-", "-")
        helps = [run_it(sys.executable, runner, *command, "--help").stdout
                 for command in ((), ("report",), ("bisect",))]
        # The default of bisect's --command has options of nbdcheck.
        helps[2] = helps[2].partition("Default --command:")[0]
        self.assertEqual(options(page.replace("--sbatch=--partition", "--sbatch")),
                         options("".join(helps)))


if __name__ == "__main__":
    pages, nbdcheck, runner = pathlib.Path(sys.argv.pop(1)), sys.argv.pop(1), sys.argv.pop(1)
    unittest.main()
