"""Tests of generate.py: good pages come through, bad ones are named by line."""

import pathlib
import subprocess
import sys
import tempfile
import unittest

SCRIPT = pathlib.Path(__file__).with_name("generate.py")
GOOD = """title: A read returns what was last written
severity: MUST
since: 1.0
source: nbdkit-plugin(3) ".pread"
contract: P-112
---
What is demanded.

## In practice
Bad.

## How to fix it
So.
"""


class GenerateTest(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)
        self.root = pathlib.Path(self.directory.name)

    def page(self, text, name="data/a-rule.md"):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def run_script(self, *arguments):
        return subprocess.run([sys.executable, SCRIPT, "--pages", self.root, *arguments],
                              capture_output=True, text=True, check=False)

    def assert_wrong(self, text, line, message, name="data/a-rule.md"):
        path = self.page(text, name)
        result = self.run_script("--cpp", self.root / "out.cpp")
        self.assertEqual(result.returncode, 1)
        self.assertEqual(result.stderr, f"{path}:{line}: {message}\n")
        self.assertFalse((self.root / "out.cpp").exists())

    def test_good_page(self):
        self.page(GOOD)
        out = self.root / "out.cpp"
        self.assertEqual(self.run_script("--cpp", out).returncode, 0)
        self.assertIn('R"page(data.a-rule)page"', out.read_text())

    def test_no_pages(self):
        out = self.root / "out.cpp"
        self.assertEqual(self.run_script("--cpp", out).returncode, 0)
        self.assertIn("return {};", out.read_text())

    def test_severity(self):
        self.assert_wrong(GOOD.replace("MUST", "must"), 2,
                          "severity is one of MUST, SHOULD, QUALITY")

    def test_missing_key(self):
        self.assert_wrong(GOOD.replace("contract: P-112\n", ""), 5,
                          "'contract' is missing from the header")

    def test_unknown_key(self):
        self.assert_wrong("colour: red\n" + GOOD, 1, "unknown key 'colour'; keys are title, "
                          "severity, since, source, contract")

    def test_second_key(self):
        self.assert_wrong("since: 1.0\n" + GOOD, 4, "second 'since'")

    def test_empty_value(self):
        self.assert_wrong(GOOD.replace("since: 1.0", "since:"), 3,
                          "expected 'key: value', found 'since:'")

    def test_since(self):
        self.assert_wrong(GOOD.replace("1.0", "always"), 3,
                          "since is a release of nbdkit, such as 1.24")

    def test_header_without_end(self):
        self.assert_wrong(GOOD.replace("---\n", ""), 12, "no line '---' after the header")

    def test_missing_section(self):
        self.assert_wrong(GOOD.replace("## In practice", "## in practice"), 7,
                          "the section '## In practice' must be there once")

    def test_empty_section(self):
        self.assert_wrong(GOOD.replace("So.\n", ""), 12, "the section '## How to fix it' is empty")

    def test_no_demand(self):
        self.assert_wrong(GOOD.replace("What is demanded.\n", ""), 7,
                          "what is demanded is not said before the first section")

    def test_misplaced(self):
        self.assert_wrong(GOOD, 1, "a page is <group>/<name>.md, in kebab-case",
                          name="data/A_rule.md")

    def test_manual_page(self):
        self.page(GOOD.replace("What is demanded.", r""".can_x and `a\-b` are
**strong**. See [the manual](https://x.y/z-1). 'So'.

* an item
  that goes on
* another

```c
.return "\n";

'x';
```

| a | b |
|---|---|""").replace("So.", "`.So` it is."))
        out = self.root / "rules.7"
        self.assertEqual(self.run_script("--man", out, "--version", "1.2").returncode, 0)
        text = out.read_text(encoding="utf-8")
        start = text.index(".SS data.a\\-rule\n")
        self.assertEqual(text[start:text.index(".SH SEE ALSO")], r"""
.SS data.a\-rule
\fIA read returns what was last written\fR
.PP
MUST, since nbdkit 1.0; source: nbdkit-plugin(3) ".pread"
.PP
\&.can_x and \fBa\e\-b\fR are \fBstrong\fR.
See the manual. 'So'.
.IP \(bu 3
an item that goes on
.IP \(bu 3
another
.PP
.RS 4
.EX
\&.return "\en";

\(aqx\(aq;
.EE
.RE
.PP
.RS 4
.EX
| a | b |
|\-\-\-|\-\-\-|
.EE
.RE
.PP
.B In practice
.PP
Bad.
.PP
.B How to fix it
.PP
\fB.So\fR it is.
""".lstrip())

    def test_markdown_up_to_date(self):
        self.page(GOOD)
        out = self.root.parent / (self.root.name + "-rules.md")
        self.addCleanup(out.unlink)
        self.assertEqual(self.run_script("--markdown", out).returncode, 0)
        self.assertEqual(self.run_script("--check", out).returncode, 0)
        self.page(GOOD.replace("So.", "Thus."))
        result = self.run_script("--check", out)
        self.assertEqual(result.returncode, 1)
        self.assertIn("is out of date", result.stderr)


if __name__ == "__main__":
    unittest.main()
