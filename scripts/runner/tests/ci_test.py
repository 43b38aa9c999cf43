#!/usr/bin/python3
"""The recipes in docs/ci: their own steps, run as the services would run them.

What cannot be run here are the steps of other people (uses:), and those that
install nbdcheck itself, which tests/ has tests of its own for.
"""

import json
import os
import shutil
import subprocess
import unittest
import xml.etree.ElementTree as xml

import runs

try:
    import yaml
except ImportError:
    yaml = None

CI = runs.SCRIPTS.parent / "docs" / "ci"


@unittest.skipUnless(yaml, "python3-yaml is not installed")
class Recipes(runs.Case):
    def setUp(self):
        super().setUp()
        programs = self.work / "bin"
        programs.mkdir()
        self.nbdcheck.rename(programs / "nbdcheck")
        share = self.work / "share" / "nbdcheck"  # as installed, and as checked out
        checkout = self.work / "nbdcheck" / "scripts"
        for place, package in ((programs, share), (checkout, checkout)):
            package.mkdir(parents=True)
            shutil.copy(runs.RUN, place)
            (package / "runner").symlink_to(runs.HERE.parent)
        self.project("p finding=data.read-your-writes")

    def project(self, words):
        plugin, *arguments = words.split(maxsplit=1)
        (self.work / "matrix.toml").write_text(
            f'[[plugin]]\nplugin = "{plugin}"\narguments = {json.dumps(arguments)}\n'
            'seeds = "1-2"\n')

    def shell(self, script, **variables):
        environment = self.environment() | variables
        environment["PATH"] = f"{self.work / 'bin'}:{environment['PATH']}"
        # As GitHub runs it, and GitLab's are no laxer.
        return subprocess.run(["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
                              cwd=self.work, env=environment, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, check=False)

    def assert_reported(self):
        self.assertIn("data.read-your-writes", (self.work / "report.md").read_text())
        self.assertIn("2 of 2 runs", (self.work / "report.html").read_text())
        results = json.loads((self.work / "nbdcheck.sarif").read_text())["runs"][0]["results"]
        self.assertEqual([result["ruleId"] for result in results], ["data.read-your-writes"])

    def test_github(self):
        recipe = yaml.safe_load((CI / "github.yml").read_text())
        steps = {step.get("name"): step.get("run") for job in recipe["jobs"].values()
                 for step in job["steps"]}
        for job in recipe["jobs"].values():
            for step in job["steps"]:
                self.assertNotEqual("run" in step, "uses" in step, step)
        shards = recipe["jobs"]["check"]["strategy"]["matrix"]["shard"]
        for shard in shards:
            done = self.shell(steps["Check the plugin"].replace("${{ matrix.shard }}", str(shard)))
            self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
            (self.work / "results").rename(self.work / f"results-{shard}")
        done = self.shell(steps["Report"])
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assert_reported()
        xml.parse(self.work / "junit.xml")
        summary = self.work / "step-summary"
        done = self.shell(steps["Show"], GITHUB_STEP_SUMMARY=str(summary))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("NOT CONFORMANT", summary.read_text())

    def test_gitlab(self):
        recipe = yaml.safe_load((CI / "gitlab.yml").read_text())
        total = recipe["check"]["parallel"]
        for index in range(1, total + 1):
            done = self.shell("\n".join(recipe["check"]["script"]),
                              CI_NODE_INDEX=str(index), CI_NODE_TOTAL=str(total))
            self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
            xml.parse(self.work / recipe["check"]["artifacts"]["reports"]["junit"])
        done = self.shell("\n".join(recipe["report"]["script"]))
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assert_reported()
        for path in recipe["report"]["artifacts"]["paths"]:
            self.assertTrue((self.work / path).exists(), path)

    def test_a_plugin_without_findings_passes(self):
        self.project("p x")
        recipe = yaml.safe_load((CI / "gitlab.yml").read_text())
        done = self.shell("\n".join(recipe["check"]["script"]), CI_NODE_INDEX="1",
                          CI_NODE_TOTAL="2")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


if __name__ == "__main__":
    os.chdir(runs.HERE)
    runs.main()
