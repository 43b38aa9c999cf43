#!/usr/bin/python3
"""Waivers: what is known does not count, and is shown; bad files are refused."""

import json
import os
import unittest

import nbdcheck_runs
from nbdcheck_runs import QUICK, Case, plugin

KNOWN = """[[waiver]]
rule = "lifecycle.dump-plugin"
plugin = "*"
reason = "bug 12"
"""
# One fault, found by one quick check.
ONLY = "--only=^lifecycle.dump-plugin$"


def faulty():
    return ONLY, plugin("faulty-lifecycle"), "fault=dump-garbage"


class Waivers(Case):
    def check(self, text, *arguments):
        path = self.write("waivers.toml", text)
        report = self.work / "report.json"
        done = self.run_it(*QUICK, f"--waivers={path.name}", f"--report=json:{report}", *arguments)
        return done, json.loads(report.read_text()) if report.exists() else None

    def test_without(self):
        self.assert_verdict(self.run_it(*QUICK, *faulty()), 1)

    def test_waived(self):
        done, report = self.check(KNOWN + 'until = "2999-12-31"\n', *faulty())
        self.assert_verdict(done, 0)
        self.assertIn("waived until 2999-12-31: bug 12", done.stdout)
        self.assertIn("1 waived (lifecycle.dump-plugin)", done.stdout.splitlines()[-1])
        self.assertEqual(report["findings"][0]["waived"],
                         {"reason": "bug 12", "until": "2999-12-31"})
        self.assertEqual(report["exit_code"], 0)
        self.assertEqual([w["state"] for w in report["waivers"]], ["used"])

    def test_waived_for_good(self):
        done, report = self.check(KNOWN, *faulty())
        self.assert_verdict(done, 0)
        self.assertEqual(report["findings"][0]["waived"], {"reason": "bug 12", "until": None})

    def test_time_adds_up(self):
        """Not about waivers, but another line of the report that tests hold."""
        _, report = self.check(KNOWN, "--jobs=1", *faulty())
        time = report["time"]
        checks = sum(check["seconds"] for check in report["checks"])
        self.assertAlmostEqual(time["checks"]["seconds"], checks, delta=0.01)
        parts = sum(time[part]["seconds"] for part in ("start_up", "checks", "shrinking", "idle"))
        self.assertAlmostEqual(parts, report["seconds"], delta=0.01)
        self.assertEqual(time["checks"]["processes"], 1)
        self.assertGreaterEqual(time["start_up"]["processes"], 1)

    def test_quiet_still_tells(self):
        done, _ = self.check(KNOWN, "--quiet", *faulty())
        self.assertIn("waived: bug 12", done.stdout)

    def test_expired(self):
        done, report = self.check(KNOWN + "until = 2001-01-01\n", *faulty())
        self.assert_verdict(done, 1)
        self.assertIn("waiver: waivers.toml:1 has expired on 2001-01-01", done.stdout)
        self.assertIn("1 waiver expired", done.stdout.splitlines()[-1])
        self.assertIsNone(report["findings"][0]["waived"])
        self.assertEqual([w["state"] for w in report["waivers"]], ["expired"])

    def test_unneeded(self):
        done, report = self.check(KNOWN, ONLY, plugin("ramdisk"), "size=1M")
        self.assert_verdict(done, 0)
        self.assertIn("is not needed", done.stdout)
        self.assertIn("1 waiver not needed", done.stdout.splitlines()[-1])
        self.assertEqual([w["state"] for w in report["waivers"]], ["unneeded"])

    def test_another_plugins(self):
        done, report = self.check(KNOWN.replace('"*"', '"ramdisk"'), *faulty())
        self.assert_verdict(done, 1)
        self.assertEqual(report["waivers"], [])

    def test_by_name_and_by_path(self):
        for name in ("faulty-lifecycle", "faulty-lifecycle.so", "*/plugins/faulty-*.so"):
            with self.subTest(name=name):
                done, _ = self.check(KNOWN.replace('"*"', f'"{name}"'), *faulty())
                self.assert_verdict(done, 0)

    def refused(self, text, *words):
        done, report = self.check(text, *faulty())
        self.assert_refused(done, *words)
        self.assertIsNone(report)

    def test_bad_files(self):
        self.refused(KNOWN.replace("dump-plugin", "dump-plugni"),
                     "waivers.toml:2: unknown rule", "did you mean lifecycle.dump-plugin?")
        self.refused(KNOWN + 'until = "tomorrow"\n', "waivers.toml:5: until")
        self.refused(KNOWN.replace('reason = "bug 12"\n', ""), "waivers.toml:1: ", "no reason")
        self.refused(KNOWN + "colour = 1\n", "waivers.toml:5: unknown key 'colour'")
        self.refused("[[waiver]\n", "waivers.toml:1: ")
        self.refused(b"\x7fELF\x00\xff" * 100, "waivers.toml:1: ")
        self.refused("[" * 200_000, "waivers.toml:1: ")
        self.refused("#" * (2 << 20), "waivers.toml: too large")

    def test_no_file(self):
        for path, word in (("missing.toml", "No such file"), (".", "directory"),
                           ("/dev/zero", "device")):
            self.assert_refused(self.run_it(*QUICK, f"--waivers={path}", *faulty()), word)
        self.assert_refused(self.run_it(*QUICK, "--waivers=", *faulty()), "--waivers")

    def test_pipe(self):
        ours, theirs = os.pipe()
        os.write(theirs, KNOWN.encode())
        os.close(theirs)
        done = self.run_it(*QUICK, f"--waivers=/dev/fd/{ours}", *faulty(), pass_fds=(ours,))
        os.close(ours)
        self.assert_verdict(done, 0)


if __name__ == "__main__":
    nbdcheck_runs.main()
