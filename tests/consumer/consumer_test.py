"""The installed package, used by a project that knows nothing of our build tree.

    consumer_test.py BUILD_DIRECTORY [unittest arguments]
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree as xml

PROJECT = pathlib.Path(__file__).resolve().parent / "project"
SOURCE = PROJECT.parents[2]
build = pathlib.Path()  # set below


def tool(name):
    """Debian's one where there is one: others may come first in PATH."""
    usual = pathlib.Path("/usr/bin", name)
    return str(usual) if usual.exists() else shutil.which(name)


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory(prefix="nbdcheck-consumer-")
        cls.root = pathlib.Path(cls.scratch.name)
        cls.prefix = cls.root / "prefix"
        cls.project = cls.root / "project"
        shutil.copytree(PROJECT, cls.project)
        done = subprocess.run(
            ["cmake", "--install", build, "--prefix", cls.prefix],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(done.stdout)

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def run_it(self, *command, status=0, cwd=".", **variables):
        environment = os.environ | {
            "PATH": f"{self.prefix}/bin:{os.environ['PATH']}",
            "PKG_CONFIG_PATH": f"{self.prefix}/lib/pkgconfig",
        } | variables
        done = subprocess.run(
            command, cwd=self.project / cwd, env=environment, text=True, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.assertEqual(done.returncode, status, done.stdout)
        return done.stdout

    def configure(self, directory, *more, status=0):
        return self.run_it("cmake", "-G", "Ninja", "-S", ".", "-B", directory,
                           f"-DCMAKE_PREFIX_PATH={self.prefix}", *more, status=status)


class Installed(Case):
    def test_ctest(self):
        self.configure("out")
        self.run_it("cmake", "--build", "out")
        checks = self.run_it("nbdcheck", "list", "--checks").split("\n")[:-1]
        listed = self.run_it("ctest", "--test-dir", "out", "-N")
        for check in checks:
            name = check.split()[0]
            self.assertRegex(listed, rf": myplugin\.{re.escape(name)}( |$|\n)")
        locks = {test["name"].partition(".")[0]: lock["value"] for test in json.loads(
                     self.run_it("ctest", "--test-dir", "out", "--show-only=json-v1"))["tests"]
                 for lock in test["properties"] if lock["name"] == "RESOURCE_LOCK"}
        self.assertEqual(locks, {"refused": ["nbdcheck-refused"]})
        self.run_it("ctest", "--test-dir", "out", "--parallel", "2", "--quiet",
                    "--output-junit", "junit.xml", status=8)
        cases = {case.get("name"): case for case in xml.parse(
            self.project / "out" / "junit.xml").getroot().iter("testcase")}
        state = {name: case.get("status") for name, case in cases.items()}

        def output(name):
            return cases[name].find("system-out").text

        # The correct plugin: everything passes, or is skipped with a reason.
        mine = {name: s for name, s in state.items() if name.startswith("myplugin.")}
        bad = {name: output(name) for name, s in mine.items()
               if s not in ("run", "notrun", "disabled")}
        self.assertEqual(bad, {})
        self.assertEqual(state["myplugin.data.random"], "run")
        self.assertEqual(state["myplugin.concurrency.stress"], "disabled")
        self.assertEqual(state["myplugin.trim.random"], "notrun")
        self.assertIn("not applicable (no .trim)", output("myplugin.trim.random"))
        self.assertEqual(state["mytest"], "run")
        self.assertIn("/seeds/001", output("myplugin_fuzz.corpus"))  # CTest keeps the beginning
        self.assertEqual(state["myplugin_fuzz.corpus"], "run")
        # The faulty one fails, with a reproducer that can be run.
        self.assertEqual(state["loser.data.random"], "fail")
        plans = re.findall(r"replay +nbdcheck replay (\S+\.plan)", output("loser.data.random"))
        self.assertTrue(plans, output("loser.data.random"))
        self.run_it("nbdcheck", "replay", plans[0], status=1)
        # One that does not start was not checked, and that is no success.
        self.assertEqual(state["refused.data.edges"], "fail", output("refused.data.edges"))
        self.assertIn("unknown parameter 'colour'", output("refused.data.edges"))

        settings = (self.project / "out/nbdcheck-tests/myplugin-tests.cmake").read_text("utf-8")
        self.assertIn("LABELS [==[nbdcheck;data;mine]==]", settings)
        self.assertIn("MYPLUGIN_DEBUG=1", settings)
        self.assertIn("--waivers=", settings)
        self.assertNotRegex(settings, r"TIMEOUT [0-9]{1,2} ")

    def test_bad_use_is_told_in_one_line(self):
        text = (self.project / "CMakeLists.txt").read_text("utf-8")
        for line, complaint in (
                ("nbdcheck_add_tests(nothing)", "there is no such target"),
                ("nbdcheck_add_tests(mytest)", "a plugin is a MODULE library"),
                ("nbdcheck_add_tests(loser NAME a PROFILE fast)", "PROFILE is quick"),
                ("nbdcheck_add_tests(loser NAME a TIMEOUT soon)", "TIMEOUT is a number"),
                ("nbdcheck_add_tests(loser NAME a WAIVERS none.toml)", "no such file"),
                ("nbdcheck_add_tests(loser NAME a COLOUR red)", "unknown argument"),
                ("nbdcheck_add_tests(loser)", "give it a NAME of its own")):
            directory = self.root / "bad"
            shutil.copytree(self.project, directory, dirs_exist_ok=True,
                            ignore=shutil.ignore_patterns("out"))
            (directory / "CMakeLists.txt").write_text(f"{text}\n{line}\n", "utf-8")
            said = self.run_it("cmake", "-S", directory, "-B", directory / "out",
                               f"-DCMAKE_PREFIX_PATH={self.prefix}", status=1)
            self.assertIn(complaint, " ".join(said.split()), line)


class Sources(Case):
    """The sources taken into the project.  All of it takes minutes, and the same
    files are compiled by everything else here; so it is planned, and begun."""

    def test_fetch_content(self):
        self.configure("out", f"-DNBDCHECK_SOURCE={SOURCE}")
        self.run_it("cmake", "--build", "out", "--target", "nbdcheck_text")
        planned = self.run_it("ninja", "-C", "out", "-t", "commands", "all")
        self.assertIn(" -o mytest ", planned)
        self.assertIn(" -o _deps/nbdcheck-build/conformance/nbdcheck ", planned)
        self.assertIn("myplugin-settings.cmake",
                      (self.project / "out/build.ninja").read_text("utf-8"))
        # Our tests and plugins are not the other project's.
        self.assertNotIn("ramdisk", planned)
        self.assertNotIn("_test.cpp", planned)


class Pieces(Case):
    def test_what_is_installed(self):
        for file in ("bin/nbdcheck", "share/man/man1/nbdcheck.1", "share/man/man7/nbdcheck-rules.7",
                     "share/bash-completion/completions/nbdcheck",
                     "share/zsh/site-functions/_nbdcheck",
                     "share/fish/vendor_completions.d/nbdcheck.fish",
                     "share/doc/nbdcheck/rules/data/read-your-writes.md"):
            self.assertTrue((self.prefix / file).is_file(), file)
        # Nothing names the build tree or the sources; a reader could not go there.
        for file in self.prefix.rglob("*"):
            if file.suffix in (".cmake", ".pc", ".hpp"):
                self.assertNotIn(str(SOURCE), file.read_text("utf-8"), file)

    def plugin(self):
        if not (self.project / "myplugin.so").exists():
            self.run_it("cc", "-shared", "-fPIC", "-o", "myplugin.so", "myplugin.c")
        return str(self.project / "myplugin.so")

    def test_headers_stand_alone(self):
        include = self.prefix / "include"
        headers = sorted((include / "nbdcheck").rglob("*.hpp"))
        self.assertGreater(len(headers), 40)
        # Twice each: a header that lacks its guard would not compile.
        lines = [f'#include "{header.relative_to(include)}"' for header in headers]
        (self.project / "all.cpp").write_text("\n".join(lines + lines), "utf-8")
        self.run_it("c++", "-std=c++20", "-fsyntax-only", "all.cpp", f"-I{include}",
                    f"-I{include}/nbdcheck/conformance")

    def test_pkg_config(self):
        flags = self.run_it("pkg-config", "--cflags", "--libs", "nbdcheck").split()
        self.run_it("c++", "-std=c++20", "-DHARNESS_ONLY", f'-DPLUGIN="{self.plugin()}"', "mytest.cpp", *flags,
                    "-lgtest_main", "-lgtest", "-o", "mytest")
        self.run_it("./mytest")

    def test_meson(self):
        if not tool("meson"):
            self.skipTest("meson is not installed")
        self.run_it(tool("meson"), "setup", "meson-out")
        self.run_it(tool("meson"), "test", "-C", "meson-out")

    def test_cargo(self):
        if not tool("cargo"):
            self.skipTest("cargo is not installed")
        command = (tool("cargo"), "test", "--offline", "--manifest-path", "cargo/Cargo.toml")
        self.run_it(*command, PLUGIN=self.plugin(), RUSTC=tool("rustc"))
        said = self.run_it(*command, PLUGIN="/none.so", RUSTC=tool("rustc"), status=101)
        self.assertIn("the_plugin_keeps_its_contract ... FAILED", said)

    def test_go(self):
        if not tool("go"):
            self.skipTest("go is not installed")
        environment = {"GOCACHE": str(self.root / "go-cache"), "GOPROXY": "off", "GOFLAGS": ""}
        self.run_it(tool("go"), "test", ".", cwd="go", PLUGIN=self.plugin(), **environment)


if __name__ == "__main__":
    build = pathlib.Path(sys.argv.pop(1)).resolve()
    unittest.main()
