#!/usr/bin/python3
"""bisect: exit codes, and a real git bisect run of a real plugin."""

import json
import os
import shutil
import subprocess
import unittest

import runs

PLUGIN = r"""
#include <string.h>
#include <nbdkit-plugin.h>
#define THREAD_MODEL NBDKIT_THREAD_MODEL_SERIALIZE_ALL_REQUESTS
static unsigned char disk[65536];
static void *b_open(int readonly) { (void)readonly; return disk; }
static int64_t b_get_size(void *h) { (void)h; return sizeof disk; }
static int b_pread(void *h, void *buf, uint32_t count, uint64_t offset) {
  (void)h; memcpy(buf, disk + offset, count); return 0;
}
static int b_pwrite(void *h, const void *buf, uint32_t count, uint64_t offset) {
  (void)h; memcpy(disk + offset, buf, count - LOST); return 0;
}
static struct nbdkit_plugin plugin = {
  .name = "bisected", .open = b_open, .get_size = b_get_size,
  .pread = b_pread, .pwrite = b_pwrite };
NBDKIT_REGISTER_PLUGIN(plugin)
"""
BUILD = "cc -shared -fPIC -o libb.so b.c"


class ExitCodes(runs.Case):
    def setUp(self):
        super().setUp()
        self.run_it("p finding=data.read-your-writes", code=1)
        self.job, = (self.work / "nbdcheck-results").glob("jobs/*")

    def bisect(self, *arguments, code):
        done = self.run_it("bisect", *arguments, quick=True)
        self.assertEqual(done.returncode, code, done.out + done.err)
        return done.out + done.err

    def answer(self, findings, status="passed", rule="data.read-your-writes"):
        report = {"findings": [{"rule": name} for name in findings],
                  "checks": [{"rules": [rule], "status": status}]}
        return f"--command=printf %s '{json.dumps(report)}' > {{report}}"

    def test_answers(self):
        self.assertIn("is broken", self.bisect(self.job, self.answer(["data.read-your-writes"]),
                                               code=1))
        self.assertIn("is kept", self.bisect(self.job, self.answer(["zero.no-hole"]), code=0))
        self.assertIn("was not checked", self.bisect(self.job, self.answer([], "skipped"),
                                                     code=125))
        self.assertIn("was not checked", self.bisect(self.job, self.answer([], rule="x.y"),
                                                     code=125))
        self.assertIn("report.json", self.bisect(self.job, "--command=exit 2", code=125))
        self.assertIn("--build ended with status 3", self.bisect(
            self.job, "--build=exit 3", "--command=exit 1", code=125))

    def test_repeat_is_bad_if_one_is(self):
        bad, good = (self.answer(f).removeprefix("--command=") for f in
                     (["data.read-your-writes"], []))
        template = f"--command=if [ {{seed}} = 3 ]; then {bad}; else {good}; fi"
        self.bisect(self.job, template, "--repeat=2", code=0)
        self.assertIn("seed 3", self.bisect(self.job, template, "--repeat=5", code=1))

    def test_what_the_command_is_told(self):
        self.bisect(self.job, "--plugin=./a b.so", "--command=echo {plugin} {check} {rule} "
                    "{arguments} {profile} ${HOME:+x} > told", code=125)
        self.assertEqual((self.work / "told").read_text(),
                         "./a b.so data.random data.read-your-writes "
                         "finding=data.read-your-writes quick x\n")

    def test_wrong_questions_end_the_bisection(self):
        self.assertIn("no finding of x.y", self.bisect(self.job, "x.y", code=129))
        self.assertIn("none", self.bisect("none", code=129))
        self.bisect(self.job, "--no-such", code=129)
        (self.work / "report.json").write_text("{")
        self.assertIn("no report", self.bisect("report.json", code=129))


@unittest.skipUnless(shutil.which("git") and shutil.which("cc"), "git and cc are needed")
@unittest.skipUnless(runs.NBDCHECK.exists(), f"nbdcheck is not built in {runs.BUILD}")
class GitBisect(runs.Case):
    def git(self, *arguments):
        done = subprocess.run(
            ["git", "-c", "user.name=Test", "-c", "user.email=test@localhost", *arguments],
            cwd=self.work / "repository", text=True, capture_output=True, check=False,
            env=os.environ | {"TMPDIR": str(self.work), "GIT_CONFIG_GLOBAL": "/dev/null"})
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def test_the_commit_that_broke_it(self):
        repository = self.work / "repository"
        repository.mkdir()
        self.git("init", "--quiet")
        commits = []
        for number in range(7):
            text = PLUGIN if number < 4 else PLUGIN.replace("LOST", "(count > 1)")
            (repository / "b.c").write_text(  # one revision does not even build
                ("#error broken\n" if number == 2 else f"// {number}\n")
                + text.replace("LOST", "0"))
            self.git("add", "b.c")
            self.git("commit", "--quiet", "-m", str(number))
            commits.append(self.git("rev-parse", "HEAD").strip())
        subprocess.run(BUILD, shell=True, cwd=repository, check=True, stdin=subprocess.DEVNULL)
        done = self.run_it(f"{repository}/libb.so", "--time=0.3", "--nbdkit=none",
                           "--options=--only=^data[.]random$", f"--nbdcheck={runs.NBDCHECK}",
                           quick=False, code=1)
        job, = (self.work / "nbdcheck-results").glob("jobs/*")
        self.git("bisect", "start", "HEAD", commits[0])
        out = self.git("bisect", "run", str(runs.RUN), "bisect", str(job),
                       "data.read-your-writes", f"--build={BUILD}", "--plugin=./libb.so",
                       f"--nbdcheck={runs.NBDCHECK}")
        self.assertIn(f"{commits[4]} is the first bad commit", out + done.out)


if __name__ == "__main__":
    runs.main()
