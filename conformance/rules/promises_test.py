"""Tests of promises.py: what is forgotten, unknown or said twice is named."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

SCRIPT = pathlib.Path(__file__).with_name("promises.py")
PAGE = """title: A rule
severity: MUST
since: 1.0
source: nbdkit-plugin(3)
contract: {}
---
What is demanded.

## In practice
Bad.

## How to fix it
So.
"""


class PromisesTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.root = pathlib.Path(directory.name)
        self.write("promises.txt", "# comment\n[First]\nP-001 | One | \".open\"\n"
                                   "P-002 | Two | \".close\"\n")
        self.write("pages/data/a.md", PAGE.format("P-001, S-17"))
        self.write("not.md", "text\n\n| number | promise | why |\n|---|---|---|\n"
                             "| P-002 | Two | because |\n")

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def run_it(self, *options):
        return subprocess.run(
            [sys.executable, SCRIPT, "--pages", self.root / "pages", "--promises",
             self.root / "promises.txt", "--not-checked", self.root / "not.md", *options],
            capture_output=True, text=True, check=False)

    def assert_wrong(self, *messages):
        result = self.run_it("--check")
        self.assertEqual(result.returncode, 1)
        self.assertEqual(result.stderr, "\n".join(messages) + "\n")

    def test_all_accounted_for(self):
        result = self.run_it("--check")
        self.assertEqual((result.returncode, result.stdout, result.stderr),
                         (0, "2 promises: 1 with a rule, 1 without\n", ""))

    def test_forgotten(self):
        self.write("not.md", "")
        self.assert_wrong("1 of 2 promises have neither a rule nor a row in "
                          "docs/rules-not-checked.md; as rows:", "| P-002 | Two | |")

    def test_in_both(self):
        self.write("pages/data/b.md", PAGE.format("P-002"))
        self.assert_wrong("P-002 has a row in rules-not-checked.md, and a rule: data.b")

    def test_unknown_promise(self):
        self.write("pages/data/b.md", PAGE.format("P-003, Q-1, P-01"))
        self.assert_wrong(*(f"data.b: there is no promise '{number}'"
                            for number in ("P-003", "Q-1", "P-01")))

    def test_unknown_row(self):
        path = self.write("not.md", "| P-002 | Two | because |\n| P-003 | Three | because |\n")
        self.assert_wrong(f"{path}:2: there is no promise P-003")

    def test_second_row(self):
        path = self.write("not.md", "| P-002 | Two | because |\n| P-002 | Two | thus |\n")
        self.assert_wrong(f"{path}:2: second row of P-002")

    def test_other_words(self):
        path = self.write("not.md", "| P-002 | Zwei | because |\n")
        self.assert_wrong(f"{path}:1: P-002 is 'Two', not 'Zwei'")

    def test_row_without_reason(self):
        path = self.write("not.md", "| P-002 | Two | |\n| P-002 | Two | because |\n")
        self.assert_wrong(
            f"{path}:1: expected '| P-NNN | promise | reason |', found '| P-002 | Two | |'")

    def test_bad_promises(self):
        path = self.write("promises.txt", "P-001 | One | s\nP-2 | Two | s\nP-001 | Three | s\n"
                                          "P-002 | Two | s\nP-004 | Four\n")
        self.assert_wrong(f"{path}:2: expected 'P-NNN | promise | source', found 'P-2 | Two | s'",
                          f"{path}:3: second P-001",
                          f"{path}:5: expected 'P-NNN | promise | source', found 'P-004 | Four'")

    def test_page(self):
        page = self.root / "promises.md"
        self.assertEqual(self.run_it("--markdown", page).returncode, 0)
        text = page.read_text(encoding="utf-8")
        self.assertIn("| P-001 | One | \".open\" | [data.a](rules.md#data-a) |\n", text)
        self.assertIn("| P-002 | Two | \".close\" | [not checked](rules-not-checked.md) |\n", text)
        self.assertEqual(self.run_it("--check-markdown", page).returncode, 0)
        page.write_text(text + "x", encoding="utf-8")
        self.assertIn("is out of date", self.run_it("--check-markdown", page).stderr)


if __name__ == "__main__":
    unittest.main()
