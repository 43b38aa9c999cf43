#!/usr/bin/python3
"""With the real nbdcheck: that its reports are what is expected of them."""

import json
import os
import re
import shutil
import subprocess
import unittest

import runs

PARENT_KILLER = r"""
#include <signal.h>
#include <string.h>
#include <unistd.h>
#include <nbdkit-plugin.h>
#define THREAD_MODEL NBDKIT_THREAD_MODEL_SERIALIZE_ALL_REQUESTS
static void *k_open(int readonly) { (void)readonly; return NBDKIT_HANDLE_NOT_NEEDED; }
static int64_t k_get_size(void *h) { (void)h; return 4096; }
static int k_pread(void *h, void *buf, uint32_t count, uint64_t offset) {
  (void)h; (void)offset; kill(getppid(), SIGKILL); memset(buf, 0, count); return 0;
}
static struct nbdkit_plugin plugin = {
  .name = "killer", .open = k_open, .get_size = k_get_size, .pread = k_pread };
NBDKIT_REGISTER_PLUGIN(plugin)
"""


class OnTheRealNbdcheck(runs.Case):
    """The texts that are read as pictures are those nbdcheck writes."""

    @unittest.skipUnless(runs.NBDCHECK.exists() and shutil.which("cc"), "nbdcheck, cc")
    def test_a_plugin_that_kills_its_parent(self):
        (self.work / "k.c").write_text(PARENT_KILLER)
        subprocess.run(["cc", "-shared", "-fPIC", "-o", "k.so", "k.c"], cwd=self.work, check=True,
                       stdin=subprocess.DEVNULL)
        done = self.run_it("./k.so", "memory 1M", "--time=0.3", "--nbdkit=none", "--parallel=1",
                           "--options=--only=^data[.]random$", f"--nbdcheck={runs.NBDCHECK}",
                           quick=False, code=3)
        self.assertRegex(done.out, r"killed: k  .*nbdcheck was killed by SIGKILL")
        self.assertIn("1 conformant, 1 killed", done.out)
        self.assert_clean()

    def test_a_race_and_a_lost_write(self):
        plugins = runs.BUILD / "plugins"
        if not runs.NBDCHECK.exists() or not (plugins / "faulty-data.so").exists():
            self.skipTest(f"nbdcheck and its plugins are not built in {runs.BUILD}")
        done = self.run_it(
            f"{plugins}/faulty-data.so fault=lost-64k size=1M",
            f"{plugins}/faulty-races-slow.so fault=rmw", "--time=0.5", "--nbdkit=none",
            "--options=--only='^(data.random|concurrency.stress)$'", "--html=r.html",
            f"--nbdcheck={runs.NBDCHECK}", quick=False)
        self.assertEqual(done.returncode, 1, done.out + done.err)
        self.assertNotIn("Traceback", done.err)
        page = (self.work / "r.html").read_text()
        data = json.loads(re.search(r'(?s)id="data">(.*?)</script>', page)[1])
        found = {f["rule"]: f for f in data["findings"]}
        self.assertIn("nbdcheck-plan 1", found["data.read-your-writes"]["plan_text"])
        self.assertIn(">", "".join(found["data.read-your-writes"]["details"]))
        self.assertIn("<svg", found["concurrency.regular"]["svg"])
        self.assert_clean()


if __name__ == "__main__":
    os.chdir(runs.HERE)
    runs.main()
