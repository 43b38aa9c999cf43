#!/usr/bin/python3
"""What is no plugin, what is no plan, and options that make no sense.

One clear line on stderr, exit code 2, nothing left behind.
"""

import os
import pathlib
import socket
import struct
import subprocess
import unittest

import nbdcheck_runs
from nbdcheck_runs import QUICK, Case, plugin

ET_REL, ET_EXEC, ET_DYN, ET_CORE = 1, 2, 3, 4
EM_386, EM_ARM, EM_X86_64, EM_AARCH64 = 3, 40, 62, 183


def elf_header(kind=ET_DYN, machine=EM_X86_64, bits=64, little=True):
    order = "<" if little else ">"
    ident = b"\x7fELF" + bytes([bits // 32, 1 if little else 2, 1, 0]) + bytes(8)
    if bits == 64:
        rest = struct.pack(order + "HHIQQQIHHHHHH", kind, machine, 1, 0, 64, 0, 0, 64, 56, 0, 64, 0,
                           0)
    else:
        rest = struct.pack(order + "HHIIIIIHHHHHH", kind, machine, 1, 0, 52, 0, 0, 52, 32, 0, 40, 0,
                           0)
    return ident + rest + bytes(64)


class NotAPlugin(Case):
    def refused(self, path, *words):
        self.assert_refused(self.run_it(*QUICK, path, "size=1M"), *words)

    def test_missing_file(self):
        self.refused("./no-such-plugin.so", "no-such-plugin.so")
        self.refused(self.work / "no" / "such" / "directory" / "plugin.so", "plugin.so")

    def test_missing_short_name(self):
        self.refused("nosuchplugin", "nosuchplugin")

    def test_directory(self):
        self.refused(self.work, "directory")

    def test_text_file(self):
        self.refused(self.write("plugin.so", "int main(void) { return 0; }\n"), "plugin.so")

    def test_empty_file(self):
        self.refused(self.write("plugin.so", b""), "plugin.so")

    def test_object_file(self):
        self.refused(self.write("plugin.so", elf_header(kind=ET_REL)), "plugin.so")

    def test_executable(self):
        self.refused(self.write("plugin.so", elf_header(kind=ET_EXEC)), "plugin.so")
        self.refused("/bin/true", "executable")

    def test_core_dump(self):
        self.refused(self.write("plugin.so", elf_header(kind=ET_CORE)), "plugin.so")

    def test_archive(self):
        self.refused(self.write("plugin.a", b"!<arch>\nplugin.o/ 0 0 0 644 0 `\n"), "plugin.a")

    def test_32_bit(self):
        for machine in (EM_386, EM_ARM):
            self.refused(self.write("plugin.so", elf_header(machine=machine, bits=32)), "32-bit")

    def test_other_machine(self):
        native = EM_AARCH64 if os.uname().machine == "x86_64" else EM_X86_64
        self.refused(self.write("plugin.so", elf_header(machine=native)), "plugin.so")
        self.refused(self.write("plugin.so", elf_header(machine=22, little=False)), "plugin.so")

    def test_filter(self):
        found = subprocess.run(["pkg-config", "--variable=filterdir", "nbdkit"],
                               stdout=subprocess.PIPE, text=True, check=True)
        filters = sorted(pathlib.Path(found.stdout.strip()).glob("nbdkit-*-filter.so"))
        if not filters:
            self.skipTest("no filter is installed")
        self.refused(filters[0], "filter")

    def test_special_files(self):
        os.mkfifo(self.work / "fifo.so")
        self.refused(self.work / "fifo.so", "fifo.so")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(self.work / "socket.so"))
            self.refused(self.work / "socket.so", "socket.so")
        self.refused("/dev/null", "/dev/null")
        self.refused("/dev/zero", "/dev/zero")

    def test_loop_of_links(self):
        (self.work / "loop.so").symlink_to("loop.so")
        self.refused(self.work / "loop.so", "loop.so")

    def test_hostile_name(self):
        self.refused("./\x1b[2J\nplugin\t.so", "plugin")
        self.refused("./" + "n" * 300 + ".so")

    def test_truncated(self):
        """A wrong file up to some length, a plugin that cannot be loaded from there on."""
        whole = pathlib.Path(plugin("ramdisk")).read_bytes()
        for length in (3, 16, 63, 64, 200, 4096, len(whole) // 2, len(whole) - 1):
            with self.subTest(length=length):
                cut = self.write("plugin.so", whole[:length])
                done = self.run_it(*QUICK, "--only=abi.load", cut, "size=1M")
                if done.returncode == 2:
                    self.assert_refused(done)
                else:
                    # The section headers at the end are not needed to load it.
                    self.assertIn(done.returncode, (0, 1), done.stdout + done.stderr)
                    self.assert_verdict(done, done.returncode)
                self.assertLess(len(whole) // 3 if done.returncode == 0 else 0, length)


class NoSuchExport(Case):
    def test_there_is_no_default_export(self):
        (self.work / "disks").mkdir()
        (self.work / "disks" / "disk").write_bytes(bytes(65536))
        words = QUICK, plugin("legal-exports"), "mode=none", f"dir={self.work / 'disks'}"
        done = self.run_it(*words[0], *words[1:])
        self.assert_verdict(done, 4)
        self.assertIn("--exportname=NAME", done.stdout)
        self.assert_verdict(self.run_it(*words[0], "--exportname=disk", *words[1:]), 0)


class BadOptions(Case):
    def refused(self, *arguments, words=()):
        self.assert_refused(self.run_it(*arguments), *words)

    def test_unknown_option(self):
        self.refused("--frobnicate", "memory", words=("--frobnicate",))
        self.refused("--profil=quick", "memory", words=("--profile",))
        self.refused("-x", "memory", words=("-x",))

    def test_nothing_to_check(self):
        self.refused()
        self.refused("--", words=("PLUGIN",))
        self.refused("", words=("PLUGIN",))

    def test_bad_seed(self):
        for seed in ("", "x", "-1", "1.5", "0x10", "18446744073709551616", "1 ", "1e3"):
            self.refused(f"--seed={seed}", "memory", words=("--seed",))

    def test_bad_regex(self):
        for option in ("--only", "--skip"):
            for regex in ("(", "[", "a{2,1}", "*", "(" * 400, "a" * 5000):
                self.refused(f"{option}={regex}", "memory", words=(option,))

    def test_bad_numbers(self):
        for option in ("--time", "--timeout"):
            for value in ("", "0", "-1", "x", "inf", "nan", "1e99"):
                self.refused(f"{option}={value}", "memory", words=(option,))
        for value in ("0", "-1", "x", "100000"):
            self.refused(f"--jobs={value}", "memory", words=("--jobs",))

    def test_bad_words(self):
        for option in ("--profile", "--persistence", "--fail-on", "--color"):
            self.refused(f"{option}=banana", "memory", words=(option, "banana"))

    def test_bad_report(self):
        for value in ("", "json", "json:", "banana:file", ":file"):
            self.refused(f"--report={value}", "memory", words=("--report" if value in
                         ("", "json", "json:") else "report",))

    def test_no_such_rule(self):
        self.refused("explain", "data.no-such-rule", words=("data.no-such-rule",))
        self.refused("explain")

    def test_no_check_left(self):
        done = self.run_it(*QUICK, "--only=no-check-is-called-like-this", plugin("ramdisk"),
                           "size=1M")
        self.assert_verdict(done, 4)


PLAN = """nbdcheck-plan 1
plugin {plugin}
arg size=1M
check data.random
export
readonly no
seed 42
buffers direct
operations 3
#0 open
#0 write offset=4096 count=512 tag=7
#0 read offset=4096 count=512
end
"""


class BadPlan(Case):
    def setUp(self):
        super().setUp()
        self.plan = PLAN.format(plugin=plugin("ramdisk"))

    def refused(self, content, *words):
        path = self.write("bad.plan", content)
        self.assert_refused(self.run_it("replay", path), "bad.plan", *words)

    def changed(self, old, new):
        self.assertIn(old, self.plan)
        return self.plan.replace(old, new)

    def test_the_plan_is_good_as_it_is(self):
        done = self.run_it("replay", self.write("good.plan", self.plan))
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assert_clean()

    def test_cut_at_every_line(self):
        lines = self.plan.splitlines(True)
        for count in range(len(lines)):
            self.refused("".join(lines[:count]), "line")

    def test_cut_within_lines(self):
        for length in range(1, len(self.plan) - 1, 17):
            self.refused(self.plan[:length])

    def test_version(self):
        for version in ("3", "0", "-1", "x", "", "4294967297"):
            self.refused(self.changed("nbdcheck-plan 1", f"nbdcheck-plan {version}"), "line 1")

    def test_hostile_sizes(self):
        for count in ("4", "10000001", "18446744073709551615", "99999999999999999999", "-3"):
            self.refused(self.changed("operations 3", f"operations {count}"))
        for old, new in (("count=512 tag", "count=67108865 tag"),
                         ("count=512 tag", "count=4294967296 tag"),
                         ("count=512 tag", "count=-1 tag"),
                         ("offset=4096 count=512\nend", "offset=9223372036854775807 count=512\nend"),
                         ("offset=4096 count=512\nend", "offset=18446744073709551616 count=1\nend"),
                         ("#0 open", "#256 open"), ("#0 open", "#99999999999 open")):
            self.refused(self.changed(old, new), "line")

    def test_garbage(self):
        self.refused(b"")
        self.refused(bytes(range(256)) * 64)
        self.refused(bytes(1 << 20))
        self.refused(b"nbdcheck-plan 1\n" + bytes(range(256)) * 64)
        self.refused("nbdcheck-plan 1\n" + "a" * (1 << 20))
        self.refused(pathlib.Path(plugin("ramdisk")).read_bytes())

    def test_unknown_check(self):
        self.refused(self.plan.replace("check data.random", "check no.such.check")
                     .replace("operations 3", "operations 0").split("#0")[0] + "end\n",
                     "no.such.check")

    def test_its_plugin_is_gone(self):
        self.assert_refused(self.run_it("replay", self.write(
            "lost.plan", PLAN.format(plugin="/no/such/plugin.so"))), "/no/such/plugin.so")

    def test_no_file(self):
        self.assert_refused(self.run_it("replay", "none.plan"), "none.plan")
        self.assert_refused(self.run_it("replay", self.work), "directory")
        self.assert_refused(self.run_it("replay"))
        self.assert_refused(self.run_it("replay", "a.plan", "b.plan"), "b.plan")

    def test_endless_files(self):
        for device in ("/dev/zero", "/dev/full", "/dev/urandom"):
            self.assert_refused(self.run_it("replay", device), device)

    def test_from_a_pipe(self):
        read, write = os.pipe()
        os.write(write, self.plan.encode())
        os.close(write)
        with os.fdopen(read) as pipe:
            done = self.run_it("replay", "/dev/stdin", stdin=pipe)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    @unittest.skipIf(os.geteuid() == 0, "root may read everything")
    def test_unreadable(self):
        path = self.write("bad.plan", self.plan)
        path.chmod(0)
        self.assert_refused(self.run_it("replay", path), "bad.plan")


if __name__ == "__main__":
    nbdcheck_runs.main()
