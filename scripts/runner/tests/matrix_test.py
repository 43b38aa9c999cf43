#!/usr/bin/python3
"""Matrix files: what they mean, and what is said about a bad one."""

import re
import unittest

import runs

from runner import packaged
from runner.common import bytes_of, seeds_of
from runner.job import shard_of
from runner.matrix_file import default_name
from runner.toml_lines import lines_of

WHOLE = """\
profiles = ["quick", "standard"]
seeds = "1-3"
nbdkit = ["none", "/usr/sbin/nbdkit"]
options = "--timeout=5"

[builds.plain]
[builds.asan]
environment = { ASAN_OPTIONS = "detect_leaks=0" }

[[plugin]]
plugin = "./{build}/libone.so"
arguments = ["size=1M", "size=1G mode='a b'", ["file=x y"]]

[[plugin]]
plugin = "memory"
name = "ram"
arguments = ["1M"]
profiles = "thorough"
seeds = [7]
builds = ["plain"]
nbdkit = "none"
time = 1.5
memory = "2G"
"""


class Matrix(runs.Case):
    def list(self, text, *options, code=0):
        (self.work / "m.toml").write_text(text, encoding="utf-8")
        return self.run_it("m.toml", "--list", *options, code=code)

    def test_everything_with_everything(self):
        lines = self.list(WHOLE).out.splitlines()
        one = [line for line in lines if "  one  " in line]
        self.assertEqual(len(one), 3 * 2 * 2 * 2 * 3)  # arguments, profiles, builds, nbdkits, seeds
        self.assertEqual(len(lines), len(one) + 1)
        self.assertEqual(len({line.split()[0] for line in lines}), len(lines))
        self.assertIn("ram  1M --timeout=5  thorough  build=plain  nbdkit=none  seed 7", lines[-1])

    def test_the_command_line_goes_over_the_file(self):
        lines = self.list(WHOLE, "--seeds=9", "--profile=quick", "--row=^ram").out.splitlines()
        self.assertEqual(len(lines), 1)
        self.assertIn("quick", lines[0])
        self.assertIn("seed 9", lines[0])

    def test_shards_are_all_of_it_and_nothing_twice(self):
        whole = set(self.list(WHOLE).out.splitlines())
        parts = [self.list(WHOLE, f"--shard={i}/4").out.splitlines() for i in (1, 2, 3, 4)]
        self.assertEqual(sorted(sum(parts, [])), sorted(whole))
        self.assertEqual(len(sum(parts, [])), len(whole))
        self.assertEqual(shard_of(list(range(10)), (3, 4)), [2, 6])

    def test_ids_do_not_depend_on_the_rest_of_the_matrix(self):
        alone = self.list(WHOLE[WHOLE.index('[[plugin]]\nplugin = "memory"'):].replace(
            'builds = ["plain"]\n', "")).out.split()[0]
        other = self.list('[[plugin]]\nplugin = "null"\n' + WHOLE[WHOLE.index(
            '[[plugin]]\nplugin = "memory"'):].replace('builds = ["plain"]\n', "")).out
        self.assertIn(alone, other)

    def test_mistakes_are_one_line_with_its_number(self):
        for text, line, words in (
                ("seeds = 1\nprofils = 1\n", 2, "unknown key 'profils'"),
                ('[[plugin]]\nplugin = "a"\n\n[[plugin]]\nplugins = "b"\n', 5, "plugins"),
                ('[[plugin]]\nname = "b"\n', 1, "plugin is missing"),
                ('[[plugin]]\nplugin = "a"\nprofiles = [\n "quick",\n "slow"]\n', 3, "'slow'"),
                ('[[plugin]]\nplugin = "a"\nseeds = "1-x"\n', 3, "seeds"),
                ('[[plugin]]\nplugin = "a"\nbuilds = ["tsan"]\n', 3, "[builds.tsan]"),
                ('[[plugin]]\nplugin = "a"\narguments = "size=1"\n', 3, "list of configurations"),
                ('[[plugin]]\nplugin = "a"\narguments = ["\'"]\n', 3, "shell"),
                ('[[plugin]]\nplugin = "a"\ntime = 0\n', 3, "seconds above 0"),
                ('[[plugin]]\nplugin = "a"\nmemory = "much"\n', 3, "not a size"),
                ('[[plugin]]\nplugin = "a"\ncores = true\n', 3, "checks at once"),
                ('[[plugin]]\nplugin = "a"\nfail-on = "all"\n', 3, "must, should or quality"),
                ('[[plugin]]\nplugin = "{build}/a"\n', 2, "needs builds"),
                ('x = """\n[[plugin]]\n"""\n', 1, "unknown key 'x'"),
                ('[[plugin]]\nplugin = "a"\n[[plugin]]\nplugin = "a"\n', 3, "in line 1"),
                ("seeds = [1\n", 2, ""),
                ("seeds = = 1\n", 1, ""),
                ("builds = 1\n[[plugin]]\nplugin='a'\n", 1, "builds"),
                ("[builds.a]\nnbdchek = 'x'\n[[plugin]]\nplugin='a'\n", 2, "nbdchek"),
                ("seeds = 1\n", 1, "[[plugin]]"),
                ("plugin = 3\n", 1, "[[plugin]]")):
            with self.subTest(text=text):
                done = self.list(text, code=2)
                self.assert_refused(done, f"m.toml:{line}: ", words)

    def test_files_that_are_not_there_or_no_text(self):
        self.assert_refused(self.run_it("none.toml", "--list"), "none.toml", "No such file")
        (self.work / "m.toml").write_bytes(b"\xff\xfe")
        self.assert_refused(self.run_it("m.toml", "--list"), "UTF-8")

    def test_bad_options_are_one_line(self):
        for option in ("--shard=3/2", "--shard=x", "--seeds=", "--seeds=2-1x", "--profile=slow",
                       "--memory=1X", "--parallel=0", "--row=(", "--limit=-1", "--no-such",
                       "--options='", "--engine=none", "--time=nan", "--seeds=5-1"):
            with self.subTest(option=option):
                self.assert_refused(self.run_it("memory", "--list", option))
        self.assert_refused(self.run_it("--list"), "nothing to run")
        self.assert_refused(self.run_it("memory '", "--list"))
        self.assert_refused(self.run_it("memory", "--list", "--row=other"), "no job is left")


class Packaged(runs.Case):
    @unittest.skipUnless(packaged.plugin_directory(), "nbdkit is not installed")
    def test_every_installed_plugin_is_run_or_excluded_with_a_reason(self):
        base = {"nbdcheck": "nbdcheck", "more_options": ()}
        jobs, notes = packaged.packaged_jobs(base, {"seeds": [1, 2]})
        run = {job.name for job in jobs}
        told = {note.split()[3] for note in notes}
        self.assertEqual(run | told,
                         set(packaged.installed_plugins(packaged.plugin_directory())))
        self.assertEqual(run & told, set())
        self.assertEqual(len({job.id for job in jobs}), len(jobs))
        listed = self.run_it("--all-packaged", "--row=^memory", "--list", code=0).out
        self.assertEqual(listed.count("\n"), sum(job.name == "memory" for job in jobs) // 2)

    def test_the_scripts_of_the_table_are_installed(self):
        rows = packaged.read_table()["row"]
        scripts = {name for row in rows for name in re.findall(r"@SCRIPT:([^@]*)@", row["run"])}
        self.assertTrue(scripts)
        installed = (runs.SCRIPTS / "CMakeLists.txt").read_text()
        for name in scripts:
            self.assertIn(name, installed.split())
            self.assertTrue((packaged.scripts_directory() / name).is_file())


class Values(unittest.TestCase):
    def test_seeds(self):
        self.assertEqual(seeds_of("1-3,7,2"), [1, 2, 3, 7])
        self.assertEqual(seeds_of(5), [5])
        for bad in ("", "a", "1-", "-1", [], [True], [-1], [2**64], ["1"], "1-999999999"):
            with self.assertRaises(ValueError):
                seeds_of(bad)

    def test_sizes(self):
        self.assertEqual(bytes_of("2G"), 2 << 30)
        self.assertEqual(bytes_of("12"), 12)

    def test_names(self):
        for plugin, name in (("./libmydisk.so", "mydisk"), ("memory", "memory"),
                             ("/x/nbdkit-foo-plugin.so", "foo"), ("a/ramdisk.so.1", "ramdisk")):
            self.assertEqual(default_name(plugin), name)

    def test_lines_of_keys(self):
        lines = lines_of('a = [ # x\n "]", \'\'\'\n b = 1 \'\'\',\n]\nc."d e" = 1\n[t.u]\n'
                         'v = {w = 1, x = "}"}\n[[p]]\nq = 1\n[[p]]\n  q = 2\n[p.r]\ns=3\n')
        self.assertEqual(lines, {
            ("a",): 1, ("c", "d e"): 5, ("t", "u"): 6, ("t", "u", "v"): 7, ("p", 0): 8,
            ("p", 0, "q"): 9, ("p", 1): 10, ("p", 1, "q"): 11, ("p", 1, "r"): 12,
            ("p", 1, "r", "s"): 13})


if __name__ == "__main__":
    runs.main()
