#!/usr/bin/python3
"""Reports: valid in their formats, whatever plugins say; waivers, rates, baselines."""

import html.parser
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest
import xml.etree.ElementTree as xml

import runs

HOSTILE = ("message=<script>alert(1)</script> ]]> & # TODO \\ | ``` \x1b[2J \u2028 \ufffe "
           "</script> not ok 1")
EVERYTHING = (
    "good", "bad finding=data.read-your-writes", f"hostile finding=zero.no-hole '{HOSTILE}'",
    "low finding=zero.no-hole severity=QUALITY", "known finding=process.crash waived=1",
    "dead do=die", "none.so", "cut do=truncated", "'odd name' finding=data.read-your-writes")


class Formats(runs.Case):
    """All formats of a run in which everything happens; it is run once."""

    kept = None

    def setUp(self):
        super().setUp()
        if Formats.kept:
            shutil.copytree(Formats.kept, self.work, dirs_exist_ok=True)
            return
        self.run_it(*EVERYTHING, "--seeds=1", "--parallel=4", "--junit=r.xml", "--tap=r.tap",
                    "--sarif=r.sarif", "--markdown=r.md", "--html=r.html", "--retries=0", code=1)
        Formats.kept = tempfile.mkdtemp(prefix="nbdcheck-formats-test-")
        self.addClassCleanup(shutil.rmtree, Formats.kept, ignore_errors=True)
        shutil.copytree(self.work, Formats.kept, dirs_exist_ok=True)

    def read(self, name):
        return (self.work / name).read_text(encoding="utf-8")

    def test_junit(self):
        root = xml.fromstring(self.read("r.xml"))
        self.assertEqual((root.get("failures"), root.get("errors")), ("3", "3"))
        suites = {suite.get("name").split()[0]: suite for suite in root}
        self.assertEqual(len(suites), len(EVERYTHING))
        self.assertEqual(suites["bad"].find("testcase/failure").get("type"),
                         "data.read-your-writes")
        self.assertIsNone(suites["low"].find("testcase/failure"))
        self.assertIn("below --fail-on", suites["low"].find("testcase/system-out").text)
        self.assertIn("waived: known", suites["known"].find("testcase/system-out").text)
        self.assertIn("no .zero", suites["good"].find("testcase/skipped").get("message"))
        self.assertIn("SIGKILL", suites["dead"].find("testcase/error").get("message"))
        for suite in root:
            self.assertEqual(int(suite.get("tests")), len(suite.findall("testcase")))
        try:
            from lxml import etree
        except ImportError:
            self.skipTest("python3-lxml is not installed: no schema was used")
        schema = etree.XMLSchema(etree.parse(str(runs.HERE / "junit.xsd")))
        schema.assertValid(etree.parse(str(self.work / "r.xml")))

    def test_tap(self):
        lines = self.read("r.tap").splitlines()
        self.assertEqual(lines[0], "TAP version 13")
        if not shutil.which("prove"):
            self.skipTest("prove (perl) is not installed")
        done = subprocess.run(["prove", "--exec", "cat", "--verbose", "r.tap"], cwd=self.work,
                              capture_output=True, text=True, check=False)
        self.assertNotIn("Parse errors", done.stdout + done.stderr)
        self.assertIn(f"Tests: {lines[1][3:]} Failed: 6", done.stdout)

    def test_sarif(self):
        log = json.loads(self.read("r.sarif"))
        run, = log["runs"]
        rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
        for result in run["results"]:
            self.assertEqual(rules[result["ruleIndex"]], result["ruleId"])
        by_rule = {result["ruleId"]: result for result in run["results"]}
        self.assertEqual(by_rule["process.crash"]["suppressions"][0]["justification"], "known")
        self.assertEqual({r["level"] for r in run["results"]}, {"error", "note"})
        self.assertFalse(run["invocations"][0]["executionSuccessful"])
        told = run["invocations"][0]["toolExecutionNotifications"]
        self.assertEqual(len(told), 3)
        prints = [r["partialFingerprints"]["nbdcheckRowAndRule/v1"] for r in run["results"]]
        self.assertEqual(len(set(prints)), len(prints))
        self.assertIn("odd%20name", json.dumps(run))
        try:
            import jsonschema
        except ImportError:
            self.skipTest("python3-jsonschema is not installed: no schema was used")
        schema = json.loads((runs.HERE / "sarif.schema.json").read_text())
        jsonschema.Draft7Validator.check_schema(schema)
        jsonschema.Draft7Validator(schema).validate(log)
        with self.assertRaises(jsonschema.ValidationError):
            log["runs"][0]["results"][0]["level"] = "MUST"
            jsonschema.Draft7Validator(schema).validate(log)

    def test_markdown(self):
        text = self.read("r.md")
        self.assertNotIn("<script", re.sub(
            r"(`+)[^`\n].*?[^`]\1(?!`)", "", re.sub(r"(?s)(```+)\n.*?\n\1\n", "", text)))
        self.assertIn("NOT CONFORMANT", text.splitlines()[0])
        for line in text.splitlines():
            if line.startswith("|"):
                self.assertIn(len(re.findall(r"(?<!\\)\|", line)), (4, 6), line)

    def test_html_is_one_page_that_loads_nothing(self):
        page = self.read("r.html")

        class Reader(html.parser.HTMLParser):
            def __init__(self):
                super().__init__()
                self.scripts, self.links, self.data, self.depth = 0, [], "", None

            def handle_starttag(self, tag, attributes):
                self.scripts += tag == "script"
                self.links += [value for name, value in attributes
                               if name in ("src", "href", "data", "action", "srcset")]
                self.depth = dict(attributes).get("id") if tag == "script" else self.depth

            def handle_endtag(self, tag):
                self.depth = None if tag == "script" else self.depth

            def handle_data(self, data):
                if self.depth == "data":
                    self.data += data

        reader = Reader()
        reader.feed(page)
        self.assertEqual(reader.scripts, 2, "those of the page, none of a plugin")
        self.assertTrue(all(link.startswith("#") for link in reader.links), reader.links)
        self.assertNotIn("http://", page)
        self.assertNotIn("https://", page)
        data = json.loads(reader.data)
        self.assertEqual(len(data["jobs"]), len(EVERYTHING))
        self.assertEqual(len(data["findings"]), 5)
        self.assertIn("The text of", data["rules"]["zero.no-hole"]["html"])
        self.assertIn("<script>alert(1)", data["findings"][1]["message"] +
                      data["findings"][2]["message"] + data["findings"][0]["message"])
        for words in ("no .zero", "SIGKILL", "No such file", "Operations per second", "Timeline"):
            self.assertIn(words, page)


class Markdown(unittest.TestCase):
    def test_no_text_ends_a_block_or_a_span(self):
        from runner.reports.markdown import cell, code, fenced
        self.assertEqual(fenced(["a", "```", "````"]), "`````\na\n```\n````\n`````")
        self.assertEqual(code("a``b|c"), "``` a``b\\|c ```")
        self.assertEqual(cell("<b>\n|`\\"), "&lt;b> \\|'\\\\")


class Missing(runs.Case):
    """Debian's modules are not there: one clear line each, and all else works."""

    def setUp(self):
        super().setUp()
        for name in ("jinja2", "rich"):
            (self.work / "none").mkdir(exist_ok=True)
            (self.work / "none" / f"{name}.py").write_text("raise ImportError\n")
        environment = self.environment() | {"PYTHONPATH": str(self.work / "none")}
        self.environment = lambda: environment

    def test_without_jinja2(self):
        done = self.run_it("p", "--junit=r.xml", "--markdown=r.md", code=0)
        self.assertIn("no page: python3-jinja2 is not installed", done.out)
        self.assertEqual(done.err, "")
        self.assertTrue((self.work / "r.xml").exists())
        self.assert_refused(self.run_it("p", "--html=r.html", "--directory=other"),
                            "python3-jinja2 is not installed")
        self.assertEqual(len(self.calls()), 1, "told before anything runs")
        self.assert_refused(self.run_it("report", "nbdcheck-results", "--html=r.html",
                                        quick=False), "python3-jinja2")

    def test_without_rich(self):
        done = self.run_it("p", "--progress=live", code=0)
        self.assertIn("python3-rich is not installed: plain lines", done.err)
        self.assertIn("[1/1]", done.out)


class Seeds(runs.Case):
    def test_the_rate_of_each_finding(self):
        self.run_it("p finding=concurrency.regular seeds=2,5", "--seeds=1-6", "--parallel=4",
                    code=1)
        finding, = self.summary()["findings"]
        self.assertEqual((finding["found"], finding["runs"], finding["seeds"]), (2, 6, [2, 5]))
        self.assertIn("2 of 6 runs", self.run_it("report", "nbdcheck-results", quick=False).out)

    def test_shards_are_put_together(self):
        for shard in ("1/3", "2/3", "3/3"):
            self.run_it("p finding=concurrency.regular seeds=2", "--seeds=1-6",
                        f"--shard={shard}", f"--directory=s{shard[0]}")
        done = self.run_it("report", "s1", "s2", "s3", "--summary=all.json", quick=False, code=1)
        self.assertIn("6 jobs (5 conformant, 1 nonconformant), 1 row, 1 finding", done.out)
        finding, = json.loads((self.work / "all.json").read_text())["findings"]
        self.assertEqual((finding["found"], finding["runs"]), (1, 6))


class Baseline(runs.Case):
    def test_new_gone_and_still_there(self):
        (self.work / "m.toml").write_text('[[plugin]]\nplugin = "./a.sh"\nname = "a"\n'
                                          '[[plugin]]\nplugin = "./b.sh"\nname = "b"\n')

        def run(directory, a, b, *more):
            (self.work / "a").write_text(a)
            (self.work / "b").write_text(b)
            return self.run_it("m.toml", f"--directory={directory}", *more)

        # The quick nbdcheck takes what to do from arguments, which are part of a row; here the
        # rows stay and what they do changes.
        script = self.nbdcheck.read_text()
        self.nbdcheck.write_text(
            script.replace('"$@"', '"$@" $(for w in "$@"; do case $w in ./*.sh) '
                                   'cat "${w%.sh}";; esac; done)'))
        run("old", "finding=data.read-your-writes", "finding=concurrency.regular",
            "--summary=old.json")
        for baseline in ("old", "old.json"):
            done = run(f"new-{baseline}", "finding=process.crash", "finding=concurrency.regular",
                       f"--baseline={baseline}", "--sarif=r.sarif", "--html=r.html")
            self.assertEqual(done.returncode, 1, done.out + done.err)
            self.assertIn("baseline: 1 new, 1 gone, 1 still there, 0 not checked again", done.out)
        states = [result.get("baselineState") for result in
                  json.loads((self.work / "r.sarif").read_text())["runs"][0]["results"]]
        self.assertEqual(sorted(states), ["absent", "new", "unchanged"])
        done = self.run_it("m.toml", "--row=^a", "--directory=a-only", "--baseline=old")
        self.assertIn("1 new, 1 gone, 0 still there, 1 not checked again",
                      done.out.splitlines()[-2], "of b nothing is known")

    def test_what_is_no_baseline(self):
        (self.work / "x.json").write_text("{}")
        for path in ("x.json", "none", "/"):
            self.assert_refused(self.run_it("p", f"--baseline={path}"))
        self.assertEqual(self.calls(), [], "told before anything runs")


class Waivers(runs.Case):
    def state(self, *words):
        (self.work / "w.toml").write_text(
            '[[waiver]]\nrule = "zero.no-hole"\nplugin = "p"\nreason = "known"\n\n'
            '[[waiver]]\nrule = "process.crash"\nplugin = "other"\nreason = "r"\n')
        directory = f"d{len(list(self.work.iterdir()))}"
        done = self.run_it(*words, "--waivers=w.toml", f"--directory={directory}",
                           "--html=r.html", code=0)
        return done.out, {w["rule"]: w["state"] for w in self.summary(directory)["waivers"]}

    def test_states_of_all_jobs_together(self):
        out, states = self.state("p waiver=unneeded", "q waiver=unneeded")
        self.assertEqual(states, {"zero.no-hole": "unneeded", "process.crash": "no-such-plugin"})
        self.assertIn("waiver zero.no-hole for p: is not needed", out)
        self.assertIn("waiver process.crash for other: speaks of no plugin of this run", out)
        self.assertEqual(self.state("p waiver=unneeded", "q waiver=used")[1]["zero.no-hole"],
                         "used")
        self.assertEqual(self.state("p waiver=unneeded", "q waiver=not-checked")[1]
                         ["zero.no-hole"], "not-checked")
        out, states = self.state("p waiver=expired")
        self.assertEqual(states["zero.no-hole"], "expired")
        self.assertIn("has expired", out)
        self.assertIn("has expired", (self.work / "r.html").read_text())


class Diagrams(unittest.TestCase):
    def test_space_time(self):
        from runner.reports.spacetime import svg_of
        lines = ["this plan showed it in 1 of 5767 runs",
                 "      time  thread 0                          thread 1",
                 "    0.0 us  + [2] #0 write(offset=1, count=<)",
                 "   24.0 us  |                                 + [3] #0 write(offset=2, count=5)",
                 "  106.0 us  + failed (5)                      |",
                 "  132.0 us                                    + done",
                 "and more"]
        svg, rest = svg_of(lines)
        self.assertEqual(rest, [lines[0], lines[-1]])
        root = xml.fromstring(svg)
        rects = [e for e in root.iter() if e.tag == "rect"]
        self.assertEqual([e.get("class") for e in rects], ["call bad", "call"])
        self.assertIn("count=<", rects[0].find("title").text)
        self.assertEqual(rects[1].find("title").text, "[3] #0 write(offset=2, count=5): done")

    def test_a_request_that_is_stopped(self):
        from runner.reports.spacetime import svg_of
        lines = ["thread A                                thread B", "write(offset=1)",
                 "  | at f at x.c:1", "                                        read(offset=2)",
                 "  |                                       end", "  end"]
        svg, rest = svg_of(lines)
        self.assertEqual(rest, [])
        self.assertEqual(svg.count("<rect"), 2)
        self.assertIn("stopped at f at x.c:1", svg)

    def test_none(self):
        from runner.reports.spacetime import svg_of
        for lines in ([], ["thread 9018 in .pwrite(count=6):", "  #0 f"], ["first (a)"]):
            self.assertEqual(svg_of(lines), ("", lines))

    def test_prose(self):
        from runner.reports.prose import html_of
        self.assertEqual(
            html_of("One `a<b`\ntwo.\n\n## In\n* x\n  y\n* **z**\n\n```\n<p>\n```\n"),
            "<p>One <code>a&lt;b</code> two.</p><h4>In</h4><ul><li>x y</li><li><strong>z</strong>"
            "</li></ul><pre>&lt;p&gt;</pre>")


if __name__ == "__main__":
    os.chdir(pathlib.Path(__file__).resolve().parent)
    runs.main()
