"""How long the CTest entries of nbdcheck_add_tests may take.

    limits_test.py NBDCHECK PLUGINS C_COMPILER
"""

import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "cmake/package/nbdcheckDiscoverTests.cmake"
nbdcheck = plugins = compiler = ""  # set below


def limits(plugin, **settings):
    """TIMEOUT of each entry."""
    settings = {"NAME": "mine", "PROFILE": "quick", "NBDCHECK": nbdcheck, "PLUGIN": plugin,
                **settings}
    with tempfile.TemporaryDirectory() as directory:
        base = pathlib.Path(directory, "mine")
        text = "".join(f"set({name} [==[{value}]==])\n" for name, value in settings.items())
        pathlib.Path(f"{base}-settings.cmake").write_text(f"{text}set(BASE {base})\n")
        subprocess.run(["cmake", f"-DSETTINGS={base}-settings.cmake", "-P", SCRIPT], check=True)
        tests = pathlib.Path(f"{base}-tests.cmake").read_text()
    return dict(re.findall(r"set_tests_properties\( \[==\[(\S+)\]==\] PROPERTIES\n  TIMEOUT (\d+)",
                           tests))


class Limits(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.plain = {name: int(limit) for name, limit in limits(f"{plugins}/ramdisk.so").items()}

    def times(self, factor, found):
        self.assertEqual({name: int(limit) for name, limit in found.items()},
                         {name: limit * factor for name, limit in self.plain.items()})

    def test_plain(self):
        self.assertGreater(len(self.plain), 50)
        self.assertGreater(min(self.plain.values()), 30)

    def test_valgrind(self):
        self.times(30, limits(f"{plugins}/ramdisk.so", OPTIONS="--verbose;--valgrind"))

    def test_one_s_own(self):
        own = limits(f"{plugins}/ramdisk.so", OPTIONS="--valgrind", TIMEOUT=7)
        self.assertEqual(set(own.values()), {"7"})

    def test_sanitizers(self):
        for sanitizer in ("address", "thread", "undefined", "leak"):
            with self.subTest(sanitizer), tempfile.TemporaryDirectory() as directory:
                plugin = f"{directory}/plugin.so"
                done = subprocess.run(
                    [compiler, "-shared", "-fPIC", f"-fsanitize={sanitizer}", "-x", "c", "-",
                     "-o", plugin], input="int f(int *p, int i) { return p[i] + i; }", text=True,
                    stderr=subprocess.PIPE, check=False)
                if done.returncode != 0:
                    self.skipTest(f"the compiler has no {sanitizer} sanitizer here")
                if sanitizer == "leak" and "clang" in compiler:
                    self.skipTest("it leaves no trace in a plugin")
                self.times(10, limits(plugin))


if __name__ == "__main__":
    nbdcheck, plugins, compiler = (sys.argv.pop(1) for _ in range(3))
    unittest.main()
