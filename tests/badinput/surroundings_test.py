#!/usr/bin/python3
"""Full disks, closed descriptors, signals and hostile plugins.

Whatever happens: a truthful exit code, the user's files as they were, no
process and no scratch directory left behind.
"""

import contextlib
import ctypes
import errno
import hashlib
import json
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import time
import unittest

import nbdcheck_runs
from nbdcheck_runs import QUICK, Case, plugin

ONE_CHECK = (*QUICK, "--only=^data\\.random$")
RAM_DISK = ("size=1M",)
NO_SUCH_DIRECTORY = "/proc/no-such-directory"  # where root cannot write either


@contextlib.contextmanager
def small_filesystem(path, size):
    """A tmpfs of `size` bytes at `path`; skips the test where that is not allowed."""
    libc = ctypes.CDLL(None, use_errno=True)
    path.mkdir()
    if libc.mount(b"tmpfs", str(path).encode(), b"tmpfs", 0, f"size={size}".encode()) != 0:
        raise unittest.SkipTest(f"mount: {errno.errorcode[ctypes.get_errno()]}")
    try:
        yield path
    finally:
        libc.umount2(str(path).encode(), 2)  # MNT_DETACH


class ServedOnce(Case):
    """Plugins that hold something of which the machine has one: a device, a port."""

    def test_checks_run_one_at_a_time(self):
        for at in ("start", "open", "wait", "scratch"):
            with self.subTest(at=at):
                # A file of its own: others run the same plugin.
                copy = self.work / f"single-{at}.so"
                shutil.copy(plugin("legal-single"), copy)
                report = self.work / f"{at}.json"
                done = self.run_it(*QUICK, "--jobs=4", "--timeout=4", f"--report=json:{report}",
                                   copy, f"at={at}")
                self.assert_verdict(done, 0)
                told = json.loads(report.read_text())
                self.assertEqual([c["id"] for c in told["checks"] if c["status"] == "unknown"], [])
                self.assertTrue(any("checks run one at a time" in remark
                                    for remark in told["export"]["remarks"]), told["export"])


class Unreadable(Case):
    """A verdict about a plugin of which nothing can be read must not look like any other."""

    def test_the_header_says_so(self):
        for mode, told in (("no-read", True), ("bad-read", False)):
            done = self.run_it(*ONE_CHECK, plugin("legal-failing"), f"mode={mode}")
            self.assert_verdict(done, 0)
            self.assertEqual("no read succeeded" in done.stdout, told, done.stdout)


class Reports(Case):
    def report_to(self, path, *more, name="ramdisk", arguments=RAM_DISK):
        return self.run_it(*ONE_CHECK, f"--report=json:{path}", *more, plugin(name), *arguments)

    def test_a_report_that_cannot_be_written_is_told_before_the_run(self):
        for path in ("no/such/directory/report.json", self.work, NO_SUCH_DIRECTORY + "/r.json",
                     "report.json/", "plain/report.json"):
            self.write("plain", "a file")
            self.assert_refused(self.report_to(path))

    def test_an_old_report_is_replaced_by_a_whole_one(self):
        path = self.write("report.json", "old")
        self.assert_verdict(self.report_to(path), 0)
        told = json.loads(path.read_text())
        self.assertEqual(told["verdict"], "conformant")
        file = pathlib.Path(plugin("ramdisk")).read_bytes()
        self.assertEqual(told["plugin"]["sha256"], hashlib.sha256(file).hexdigest())
        self.assertEqual(os.listdir(self.work), ["report.json"])

    def test_bad_input_leaves_an_old_report(self):
        path = self.write("report.json", "old")
        self.assert_refused(self.report_to(path, "--seed=x"))
        self.assert_refused(self.run_it(f"--report=json:{path}", "./no-such.so"))
        self.assertEqual(path.read_text(), "old")

    def test_an_interrupted_run_leaves_an_old_report(self):
        path = self.write("report.json", "old")
        for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
            with self.start("--time=60", f"--report=json:{path}", plugin("ramdisk"),
                            *RAM_DISK) as process:
                time.sleep(0.5)
                process.send_signal(number)
                process.communicate(timeout=nbdcheck_runs.LIMIT)
            self.assertEqual(path.read_text(), "old")
            self.assertEqual(os.listdir(self.work), ["report.json"])

    def test_full_disk(self):
        with small_filesystem(self.work / "small", 4096 * 16) as small:
            path = small / "report.json"
            path.write_text("old")
            with contextlib.suppress(OSError), open(small / "filler", "wb", buffering=0) as filler:
                while True:
                    filler.write(bytes(4096))
            done = self.report_to(path)
            self.assertEqual(done.returncode, 3, done.stdout + done.stderr)
            self.assertEqual(path.read_text(), "old")
            self.assertEqual(sorted(os.listdir(small)), ["filler", "report.json"])
            self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
            self.assertTrue(done.stderr.startswith("nbdcheck: "), done.stderr)
            self.assertIn("CONFORMANT", done.stdout)  # the verdict is not lost with it
            self.assert_clean()

    def test_full_device(self):
        done = self.report_to("/dev/full")
        self.assertEqual(done.returncode, 3)
        self.assertIn("/dev/full", done.stderr)


class Artifacts(Case):
    def faulty(self, *options):
        return self.run_it(*ONE_CHECK, *options, plugin("faulty-data"), "fault=lost-64k", "size=1M")

    def test_older_reproducers_stay(self):
        directory = self.work / "reproducers"
        directory.mkdir()
        old = directory / "data.read-your-writes.plan"
        old.write_text("precious")
        self.assert_verdict(self.faulty(f"--artifacts={directory}"), 1)
        self.assertEqual(old.read_text(), "precious")
        self.assertEqual(len([n for n in os.listdir(directory) if n.endswith(".plan")]), 2)

    def test_no_place_for_reproducers(self):
        self.write("plain", "a file")
        for place in (NO_SUCH_DIRECTORY, self.work / "plain", "/dev/null/x"):
            done = self.faulty(f"--artifacts={place}")
            self.assert_verdict(done, 1)
            self.assertIn("reproducer", done.stdout)

    def test_the_replay_command_works(self):
        done = self.faulty()
        self.assert_verdict(done, 1)
        plans = list((self.work / "nbdcheck-artifacts").glob("*.plan"))
        self.assertEqual(len(plans), 1)
        self.assertEqual(self.run_it("replay", plans[0]).returncode, 1)


class Surroundings(Case):
    def check(self, **options):
        return self.run_it(*ONE_CHECK, plugin("ramdisk"), *RAM_DISK, **options)

    def test_no_scratch_space(self):
        for path in ("/no/such/directory", "/proc", str(self.write("plain", "a file"))):
            self.environment["TMPDIR"] = path
            self.assert_refused(self.check(), path)

    def test_full_scratch_space(self):
        with small_filesystem(self.directory / "small", 4096 * 4) as small:
            self.environment["TMPDIR"] = str(small)
            done = self.check()
            # The log of operations does not fit; without it the check still stands.
            self.assertIn(done.returncode, (0, 2, 3, 4), done.stdout + done.stderr)
            self.assertNotIn("MUST", done.stdout)
            self.assertEqual(os.listdir(small), [])

    def test_no_environment(self):
        key, _, value = self.mark.partition("=")
        self.assert_verdict(self.check(env={key: value, "TMPDIR": str(self.scratch)}), 0)
        self.assertEqual(self.check(env={}).returncode, 0)

    def test_no_current_directory(self):
        gone = self.directory / "gone"
        gone.mkdir()
        script = 'cd "$1" && rmdir "$1" && shift && exec "$@"'
        done = self.run_it(*ONE_CHECK, plugin("ramdisk"), *RAM_DISK,
                           command=["sh", "-c", script, "sh", str(gone), nbdcheck_runs.program()])
        self.assert_verdict(done, 0)

    def test_closed_descriptors(self):
        for closed, code in (("0<&-", 0), ("2>&-", 0), ("0<&- 2>&-", 0), ("1>&-", 3),
                             ("0<&- 1>&- 2>&-", 3)):
            with self.subTest(closed=closed):
                done = self.run_it(*ONE_CHECK, plugin("ramdisk"), *RAM_DISK, command=[
                    "sh", "-c", f'exec "$0" "$@" {closed}', nbdcheck_runs.program()])
                self.assertEqual(done.returncode, code, done.stdout + done.stderr)
                if code == 3 and "2>" not in closed:
                    self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
                    self.assertTrue(done.stderr.startswith("nbdcheck: "), done.stderr)
                self.assert_clean()

    def test_full_output(self):
        for command in (["list"], ["explain", "data.read-your-writes"], ["--help"], ["--version"],
                        [*ONE_CHECK, plugin("ramdisk"), *RAM_DISK]):
            with self.subTest(command=command), open("/dev/full", "w", encoding="utf-8") as full:
                done = self.run_it(*command, stdout=full)
                self.assertEqual(done.returncode, 3, done.stderr)
                self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
                self.assertTrue(done.stderr.startswith("nbdcheck: "), done.stderr)

    def test_reader_that_goes_away(self):
        with self.start(*ONE_CHECK, plugin("ramdisk"), *RAM_DISK) as process:
            process.stdout.close()
            process.wait(timeout=nbdcheck_runs.LIMIT)
            self.assertNotEqual(process.returncode, 0)
            process.stderr.read()
        self.assert_clean()

    def test_limit_on_file_size(self):
        """No finding may come of it: it is not the plugin's fault."""
        done = self.check(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192)))
        self.assertIn(done.returncode, (0, 2, 3, 4), done.stdout + done.stderr)
        self.assertNotIn("MUST", done.stdout)
        self.assert_clean()

    def test_few_descriptors(self):
        done = self.check(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32)))
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_inherited_signals(self):
        """nohup, and shells that start it with signals ignored or blocked."""
        def deaf():
            for number in (signal.SIGCHLD, signal.SIGPIPE, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD, signal.SIGUSR1})
        self.assert_verdict(self.check(preexec_fn=deaf), 0)

    def test_what_is_ignored_does_not_end_it(self):
        """The terminal is closed, and Ctrl-C typed, over what nohup or a script's "&" runs."""
        def deaf():
            for number in (signal.SIGINT, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
        with self.start(*QUICK, plugin("ramdisk"), *RAM_DISK, preexec_fn=deaf) as process:
            for _ in range(5):
                time.sleep(0.1)
                for number in (signal.SIGINT, signal.SIGHUP):
                    process.send_signal(number)
            out, errors = process.communicate(timeout=nbdcheck_runs.LIMIT)
        self.assertEqual(process.returncode, 0, out + errors)
        self.assert_clean()


class Interrupted(Case):
    def interrupt(self, number, name="ramdisk", arguments=RAM_DISK, after=0.6, options=("--time=60",)):
        with self.start(*options, plugin(name), *arguments) as process:
            time.sleep(after)
            self.assertIsNone(process.poll(), "it ended by itself")
            process.send_signal(number)
            process.communicate(timeout=nbdcheck_runs.LIMIT)
            return process.returncode

    def test_nothing_is_left(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            for after in (0.05, 0.3, 0.9):
                with self.subTest(signal=number, after=after):
                    self.assertEqual(self.interrupt(number, after=after), -number)
                    self.assert_clean()

    def test_while_the_scratch_directory_is_made(self):
        self.environment["LD_PRELOAD"] = str(nbdcheck_runs.build / "tests" / "interrupted_mkdtemp.so")
        # The runtime of AddressSanitizer wants to be the first of all libraries.
        self.environment["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + \
            ":verify_asan_link_order=0"
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            with self.subTest(signal=number):
                self.environment["INTERRUPTED_BY"] = str(int(number))
                self.assertEqual(self.run_it(plugin("ramdisk"), *RAM_DISK).returncode, -number)
                self.assert_clean()

    def test_killed(self):
        for _ in range(3):
            self.assertEqual(self.interrupt(signal.SIGKILL), -signal.SIGKILL)
            self.assert_no_process()

    def test_while_a_plugin_hangs(self):
        for fault in ("hang-pread", "hang-open", "hang-ready", "loop-pread"):
            with self.subTest(fault=fault):
                self.assertEqual(self.interrupt(signal.SIGINT, "faulty-process",
                                                (f"fault={fault}",)), -signal.SIGINT)
                self.assert_clean()

    def test_with_processes_of_the_plugin(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(signal=number):
                self.interrupt(number, "faulty-process", ("fault=leak-child",), after=1)
                self.assert_clean()


class UsersFiles(Case):
    def test_a_disk_image_stays_as_it_is(self):
        image = self.write("disk.img", os.urandom(1 << 20))
        digest = hashlib.sha256(image.read_bytes()).hexdigest()
        before = image.stat()
        done = self.run_it("--profile=quick", "--time=0.5", "file", image)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertEqual(hashlib.sha256(image.read_bytes()).hexdigest(), digest)
        self.assertEqual(image.stat().st_mtime_ns, before.st_mtime_ns)
        self.assertEqual(os.listdir(self.work), ["disk.img"])
        self.assert_clean()

    def test_nor_does_a_crash_reach_it(self):
        image = self.write("disk.img", os.urandom(1 << 20))
        content = image.read_bytes()
        for number in (signal.SIGINT, signal.SIGKILL):
            with self.start("--time=60", "file", image) as process:
                time.sleep(0.7)
                process.send_signal(number)
                process.communicate(timeout=nbdcheck_runs.LIMIT)
            self.assertEqual(image.read_bytes(), content)
            self.assert_no_process()
        shutil.rmtree(self.scratch)
        self.scratch.mkdir()


class OneClient(Case):
    def test_who_quits_with_its_first_client_is_not_blamed(self):
        done = self.run_it(*QUICK, plugin("legal-log"), "mode=once")
        self.assert_verdict(done, 4)
        self.assertIn("nbdkit_shutdown", done.stdout)
        self.assertNotIn("MUST", done.stdout)


class HostilePlugins(Case):
    def test_it_survives(self):
        for fault, rule in (("exit-pread", "process.exit"), ("_exit-open", "process.exit"),
                            ("thread-exit", None), ("close-stdout", None), ("close-all", None),
                            ("fork-bomb", None), ("stack-overflow", "process.crash"),
                            ("signal", None), ("blocked-signals", None), ("chdir", None),
                            ("umask", None), ("stdout-noise", None), ("leak-child", None)):
            with self.subTest(fault=fault):
                done = self.run_it(*ONE_CHECK, "--timeout=3", plugin("faulty-process"),
                                   f"fault={fault}", "size=1M")
                self.assertIn(done.returncode, (0, 1), done.stdout + done.stderr)
                if rule:
                    self.assertIn(rule, done.stdout)
                self.assertNotIn("\x1b", done.stdout)
                self.assertEqual(done.stderr, "")
                self.assert_verdict(done, done.returncode)


if __name__ == "__main__":
    nbdcheck_runs.main()
