#!/usr/bin/python3
"""The HTML report in a real browser: drill-down, filters, thousands of results, no network,
light and dark, wide and narrow.  NBDCHECK_SCREENSHOTS=DIR keeps what it looked like."""

import os
import pathlib
import shutil
import tempfile
import unittest

import runs

from runner.job import Job
from runner.model import Model
from runner.reports.html import html_report

try:
    from selenium import webdriver
    from selenium.webdriver.common.by import By
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.support.ui import Select
except ImportError:
    webdriver = None

DRIVER = shutil.which("chromedriver")
BROWSER = shutil.which("chromium")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--hide-scrollbars", "--disable-dev-shm-usage")
GROUPS = ("abi", "concurrency", "data", "error", "extents", "flush", "handle", "process", "zero")
ROWS, SEEDS = 1500, 2
DIAGRAM = ["      time  thread 0                    thread 1",
           "    0.0 us  + [2] #0 write(offset=0)",
           "   24.0 us  |                           + [3] #0 write(offset=512)",
           "  106.0 us  + done                      |",
           "  132.0 us                              + done"]


def finding_of(group, severity, row):
    return {"rule": f"{group}.rule", "severity": severity, "check": f"{group}.check",
            "title": f"Of {group}", "message": f"In row {row} <b>it</b> went wrong.",
            "expected": "5e", "actual": "00",
            "details": ["0010  expected  5e", "      actual   >00"]
            + (DIAGRAM if group == "concurrency" else []),
            "plan": None, "nbdsh": None, "operations": 2, "original_operations": 40,
            "calls": ["#0 open()", "#0 read(offset=0, count=1)"], "occurrences": 3,
            "replay": "nbdcheck replay x.plan", "on_nbdkit": "confirmed", "waived": None}


class Run:
    """A run of thousands of jobs, without the files."""

    path = "/none"

    def __init__(self):
        self._jobs = {}
        self.about = {"nbdcheck": "0.1.0", "nbdkit": "nbdkit 1.32.5", "created": 1.7e9,
                      "notes": ["the packaged plugin S3 was not run: no service"]}
        for row in range(ROWS):
            for seed in range(1, SEEDS + 1):
                job = Job(name=f"plugin{row}", plugin="p", arguments=("size=1M",), seed=seed)
                self._jobs[job.id] = (job, row)

    @property
    def jobs(self):
        return [job for job, _ in self._jobs.values()]

    def file(self, *parts):
        return os.path.join(self.path, *parts)

    def job_directory(self, job_id):
        return self.file(job_id)

    def result(self, job_id):
        job, row = self._jobs[job_id]
        begin = 1.7e9 + row * 2 + job.seed
        state = {"state": "killed", "reason": "nbdcheck was killed by SIGKILL"} if row == 7 else \
            {"state": "finished"}
        return state | {"host": f"host{row % 3}", "begin": begin, "end": begin + 1.5,
                        "attempt": 1, "command": ["nbdcheck", "p", "a b"]}

    def report(self, job_id):
        job, row = self._jobs[job_id]
        findings = []
        if row % 10 == 1 and job.seed == 1:
            findings = [finding_of("concurrency", "MUST", row), finding_of("zero", "QUALITY", row)]
        broken = {f["check"] for f in findings}
        return {
            "schema": 1, "verdict": "nonconformant" if findings else "conformant",
            "exit_code": 1 if findings else 0, "operations": 1000 + row, "plugin": {"path": "p"},
            "error": None, "rules": {}, "time": {"checks": {"seconds": 1.0}}, "findings": findings,
            "checks": [{"id": f"{group}.{kind}", "rules": [f"{group}.rule"],
                        "status": "failed" if f"{group}.{kind}" in broken else
                        "skipped" if kind == "other" else "passed",
                        "reason": "no .zero" if kind == "other" else None, "seconds": 0.1,
                        "operations": 100}
                       for group in GROUPS for kind in ("check", "other")]}


@unittest.skipUnless(webdriver and DRIVER and BROWSER,
                     "no browser: chromium, chromium-driver, python3-selenium")
class Page(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.work = pathlib.Path(tempfile.mkdtemp(prefix="nbdcheck-browser-test-"))
        cls.addClassCleanup(shutil.rmtree, cls.work, ignore_errors=True)
        cls.page = cls.work / "report.html"
        cls.model = Model([Run()])
        cls.page.write_text(html_report(cls.model), encoding="utf-8")
        options = webdriver.ChromeOptions()
        options.binary_location = BROWSER
        for flag in (*FLAGS, f"--user-data-dir={cls.work}/profile"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        cls.browser = webdriver.Chrome(service=Service(DRIVER), options=options)
        cls.addClassCleanup(cls.browser.quit)
        cls.browser.execute_cdp_cmd("Network.enable", {})
        cls.browser.execute_cdp_cmd("Network.emulateNetworkConditions", {
            "offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0})

    def setUp(self):
        self.browser.set_window_size(1500, 1000)
        self.browser.get(self.page.as_uri())

    def tearDown(self):
        self.assertEqual([entry["message"] for entry in self.browser.get_log("browser")], [])

    def all(self, selector):
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector):
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def text(self, selector):
        return self.one(selector).text

    def press(self, element):
        self.browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()

    def screenshot(self, name):
        if place := os.environ.get("NBDCHECK_SCREENSHOTS"):
            os.makedirs(place, exist_ok=True)
            self.browser.save_screenshot(os.path.join(place, f"{name}.png"))

    def test_thousands_of_results_are_shown_in_steps(self):
        self.assertEqual(self.text("#matrix-count"), f"{ROWS} of {ROWS} rows")
        self.assertEqual(len(self.all(".matrix tbody tr.row")), 200)
        self.press(self.one("#matrix-more"))
        self.assertEqual(len(self.all(".matrix tbody tr.row")), 400)
        self.assertEqual(self.text("#findings-count"), f"{ROWS // 5} of {ROWS // 5}")
        self.assertEqual(len(self.all("details.finding")), 200)
        self.press(self.one("#findings-more"))
        self.assertEqual(len(self.all("details.finding")), ROWS // 5)
        self.assertFalse(self.one("#findings-more").is_displayed())

    def test_drill_down_from_a_cell(self):
        row = next(r for r in self.all(".matrix tbody tr.row") if "plugin11 " in r.text)
        cell = next(b for b in row.find_elements(By.CSS_SELECTOR, "td.c button")
                    if b.text == "M1")
        self.press(cell)
        detail = self.one("tr.detail")
        self.assertIn("concurrency.check", detail.text)
        self.assertNotIn("zero.check", detail.text)
        finding = detail.find_element(By.CSS_SELECTOR, "details.finding summary")
        self.press(finding)
        for words in ("In row 11 <b>it</b> went wrong.", "shrunk from 40", "nbdcheck replay x.plan",
                      "#0 read(offset=0, count=1)", "1 of 2 runs", "on host2"):
            self.assertIn(words, detail.text)
        self.assertEqual(len(detail.find_elements(By.CSS_SELECTOR, "svg.spacetime rect")), 2)
        self.assertEqual(detail.find_element(By.CSS_SELECTOR, "pre.evidence .wrong").text, ">00")
        self.screenshot("drill-down")
        self.press(cell)
        self.assertEqual(self.all("tr.detail"), [])

    def test_drill_down_from_a_row(self):
        self.press(self.all(".matrix tbody td.name button")[7])
        self.assertIn("killed by SIGKILL", self.text("tr.detail"))
        self.press(self.all(".matrix tbody td.name button")[8])
        details = self.all("tr.detail")
        self.assertEqual(len(details), 2)
        self.assertIn("seed 2: conformant", details[1].text)

    def test_filters(self):
        search = self.one("#search")
        search.send_keys("plugin1111")
        self.assertEqual(self.text("#matrix-count"), f"1 of {ROWS} rows")
        self.assertEqual(self.text("#findings-count"), f"2 of {ROWS // 5}")
        self.press(self.one(".severity[value=QUALITY]"))
        self.assertEqual(self.text("#findings-count"), f"1 of {ROWS // 5}")
        self.press(self.one("#reset"))
        self.assertEqual(self.text("#matrix-count"), f"{ROWS} of {ROWS} rows")
        self.press(self.one("#bad"))
        self.assertEqual(self.text("#matrix-count"), f"{ROWS // 10 + 1} of {ROWS} rows")
        self.press(self.one("#bad"))
        Select(self.one("#group")).select_by_value("zero")
        self.assertEqual(self.text("#findings-count"), f"{ROWS // 10} of {ROWS // 5}")
        self.assertTrue(all("zero.rule" in f.text for f in self.all("details.finding")))
        search.send_keys("nothing has these words")
        self.assertEqual(self.all("details.finding"), [])

    def test_light_and_dark_wide_and_narrow(self):
        seen = set()
        self.press(self.all(".matrix tbody td.c button")[0])
        for scheme in ("light", "dark"):
            self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {
                "features": [{"name": "prefers-color-scheme", "value": scheme}]})
            for width in (1500, 420):
                self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
                    "width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": False})
                page = self.browser.execute_script(
                    "return document.documentElement.scrollWidth")
                self.assertLessEqual(page, width, "wide tables scroll, the page does not")
                self.screenshot(f"{scheme}-{width}")
                seen.add(self.browser.execute_script(
                    "return getComputedStyle(document.body).backgroundColor"))
        self.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        self.assertEqual(len(seen), 2, "a dark page is dark")

    def test_nothing_is_fetched(self):
        fetched = self.browser.execute_script(
            "return performance.getEntriesByType('resource').map(e => e.name)")
        self.assertEqual(fetched, [])
        self.assertEqual(len(self.all("svg.plot")), 3)
        self.assertIn("S3 was not run", self.text("#skipped"))
        self.assertIn("killed by SIGKILL", self.text("#without"))


if __name__ == "__main__":
    os.chdir(runs.HERE)
    runs.main()
