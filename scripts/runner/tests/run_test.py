#!/usr/bin/python3
"""Running: in parallel, interrupted, killed, resumed, lost; one line for each fault."""

import contextlib
import ctypes
import json
import os
import signal

import runs


def results(directory):
    return sorted(path.parent.name for path in directory.glob("jobs/*/result.json"))


class Running(runs.Case):
    def test_verdicts_and_exit_codes(self):
        for words, code, verdict in (
                (["p"], 0, "CONFORMANT"), (["p finding=data.read-your-writes"], 1, "NOT"),
                (["p finding=zero.no-hole severity=QUALITY"], 0, "CONFORMANT"),
                (["p finding=zero.no-hole waived=1"], 0, "CONFORMANT"),
                (["p", "none.so"], 2, "INCOMPLETE"), (["p do=nothing"], 4, "NOTHING CHECKED"),
                (["p do=nothing", "q finding=zero.no-hole", "none.so"], 1, "NOT CONFORMANT"),
                (["p do=no-report", "none.so"], 3, "INCOMPLETE")):
            with self.subTest(words=words):
                directory = f"d{code}-{abs(hash(str(words)))}"
                done = self.run_it(*words, f"--directory={directory}", code=code)
                self.assertIn(verdict, done.out.splitlines()[-2])
                self.assertTrue((self.work / directory / "report.html").exists())
        self.assert_clean()

    def test_what_is_not_there_is_skipped_with_the_reason(self):
        (self.work / "m.toml").write_text(
            '[[plugin]]\nplugin = "a"\nneeds = ["no-such-program"]\n'
            '[[plugin]]\nplugin = "b"\nneeds = "./no-such.so"\n'
            '[[plugin]]\nplugin = "c"\nneeds = ["sh", "./m.toml"]\n')
        done = self.run_it("m.toml", code=0)
        self.assertIn("no-such-program is not installed", done.out)
        self.assertIn("./no-such.so is not there", done.out)
        self.assertIn("3 jobs (1 conformant, 2 skipped)", done.out)
        self.assertEqual(len(self.calls()), 1)
        self.run_it("m.toml", "--row=^[ab]", "--directory=none", code=4)

    def test_what_nbdcheck_is_told(self):
        self.run_it("./p.so size=1M 'a b'", "--seeds=7", "--time=1.5", "--nbdkit=none",
                    "--fail-on=quality", "--cores=2", "--options=--timeout=5 --readonly",
                    "--profile=standard", code=0)
        call, = self.calls()
        for word in ("--seed=7", "--time=1.5", "--nbdkit=none", "--fail-on=quality", "--jobs=2",
                     "--timeout=5", "--readonly", "--profile=standard"):
            self.assertIn(word, call)
        self.assertEqual(call[call.index("--"):], ["--", "./p.so", "size=1M", "a b"])

    def test_jobs_run_at_the_same_time(self):
        self.run_it("p do=meet name=1 with=2", "q do=meet name=2 with=1", "--parallel=2", code=0)
        self.run_it("p seconds=0.2", "q seconds=0.2", "--parallel=1", "--directory=one", code=0)
        times = [json.loads(path.read_text()) for path in
                 (self.work / "one").glob("jobs/*/result.json")]
        self.assertGreaterEqual(max(t["begin"] for t in times), min(t["end"] for t in times))

    def test_memory_limits_how_many(self):
        self.run_it("p seconds=0.2", "q seconds=0.2", "--parallel=2", "--memory=600M",
                    "--memory-total=1G", code=0)
        times = [json.loads(path.read_text()) for path in
                 (self.work / "nbdcheck-results").glob("jobs/*/result.json")]
        self.assertGreaterEqual(max(t["begin"] for t in times), min(t["end"] for t in times))

    def test_a_hung_job_is_killed_with_all_of_its_processes(self):
        (self.work / "m.toml").write_text('[[plugin]]\nplugin = "p"\narguments = ["do=hang"]\n'
                                          'limit = 1\n[[plugin]]\nplugin = "q"\n')
        done = self.run_it("m.toml", code=3)
        self.assertIn("limit", done.out)
        self.assertIn("it took more than 1 s", done.out)
        self.assertIn("conformant      q", done.out)
        self.assert_clean()

    def test_a_job_that_eats_memory_is_killed(self):
        done = self.run_it("p do=eat", "q", "--memory=100M", code=3)
        self.assertIn("more than 100 MiB", done.out)
        self.assertIn("conformant      q", done.out)
        self.assert_clean()

    def test_nbdcheck_killed_is_tried_again(self):
        done = self.run_it("p do=die-once", code=0)
        self.assertIn("lost, again", done.out)
        self.assertIn("SIGKILL", done.out)
        self.assertEqual(len(self.calls()), 2)
        self.assertEqual(self.summary()["jobs"], {"conformant": 1})

    def test_nbdcheck_killed_each_time_is_named(self):
        done = self.run_it("p do=die", "q", "--retries=2", code=3)
        self.assertEqual(len(self.calls()), 4)
        self.assertIn("killed: p  do=die  quick  seed 1: nbdcheck was killed by SIGKILL", done.out)
        self.assertIn("INCOMPLETE: 2 jobs (1 conformant, 1 killed)", done.out)

    def test_a_worker_killed_is_lost_and_named(self):
        done = self.run_it("p do=kill-worker", "q", code=3)
        self.assertIn("no result after 2 attempts: its worker was killed by SIGKILL", done.out)
        self.assertIn("1 conformant, 1 lost", done.out)
        self.assert_clean()

    def test_a_truncated_report(self):
        done = self.run_it("p do=truncated", "q", code=3)
        self.assertIn("failed: p  do=truncated  quick  seed 1: exit status 0, report.json: ",
                      done.out)
        self.assertIn("1 conformant", done.out)

    def test_a_report_that_was_cut_afterwards(self):
        self.run_it("p", "q", code=0)
        report = next((self.work / "nbdcheck-results").glob("jobs/p_*/report.json"))
        report.write_text(report.read_text()[:100])
        done = self.run_it("report", "nbdcheck-results", quick=False, code=3)
        self.assertIn("failed: p  quick  seed 1: report.json: ", done.out)
        self.assertIn("1 of 2 jobs", self.run_it("--resume", code=0).out)

    def test_an_unknown_plugin_is_one_line(self):
        done = self.run_it("./none.so", "q", code=2)
        self.assertIn("refused: none  quick  seed 1: nbdcheck: ./none.so: No such file", done.out)
        self.assertIn("1 conformant, 1 refused", done.out)

    def test_no_nbdcheck(self):
        done = self.run_it("p", "--nbdcheck=/none/nbdcheck", quick=False)
        self.assert_refused(done, "/none/nbdcheck: No such file or directory")
        done = self.run_it("p", "--nbdcheck=/bin/true", quick=False)
        self.assert_refused(done, "is not what nbdcheck says")

    def test_bad_waivers_are_told_before_anything_runs(self):
        done = self.run_it("p", "--waivers=bad.toml")
        self.assert_refused(done, "bad.toml:3: unknown rule")
        self.assertEqual(self.calls(), [])

    def test_plain_lines_have_findings_as_they_come(self):
        done = self.run_it("p finding=data.read-your-writes", code=1)
        self.assertIn("MUST     data.read-your-writes  p  finding=data.read-your-writes", done.out)
        self.assertNotIn("\x1b", done.out)

    def test_texts_of_plugins_do_not_move_the_cursor(self):
        done = self.run_it("'p\x1b[2Jx'", code=0)
        self.assertNotIn("\x1b", done.out + done.err)


class Directories(runs.Case):
    def test_an_earlier_run_is_not_overwritten(self):
        self.run_it("p", code=0)
        before = (self.work / "nbdcheck-results" / "run.json").read_bytes()
        self.assert_refused(self.run_it("q"), "--resume")
        self.assertEqual((self.work / "nbdcheck-results" / "run.json").read_bytes(), before)

    def test_two_runs_in_one_directory(self):
        with self.start("p seconds=60", f"--nbdcheck={self.nbdcheck}") as first:
            self.wait_for(self.calls)
            self.assert_refused(self.run_it("--resume"), "another nbdcheck-run",
                                f"process {first.pid}")
            first.send_signal(signal.SIGTERM)
            first.communicate(timeout=30)
        self.assert_clean()

    def test_places_that_are_none(self):
        (self.work / "plain").write_text("x")
        for place in ("plain", "plain/x", "/proc/none"):
            self.assert_refused(self.run_it("p", f"--directory={place}"))
        self.assert_refused(self.run_it("--resume"), "no run to go on with")
        self.assert_refused(self.run_it("report", "none", quick=False), "none")
        (self.work / "odd").mkdir()
        (self.work / "odd" / "run.json").write_text('{"nbdcheck-run": 99, "jobs": []}')
        self.assert_refused(self.run_it("report", "odd", quick=False), "schema 99")

    def test_a_report_that_cannot_be_written(self):
        done = self.run_it("p", "--junit=/none/x.xml", "--tap=ok.tap", code=3)
        self.assertIn("/none/x.xml: No such file or directory", done.err)
        self.assertIn("CONFORMANT", done.out)
        self.assertTrue((self.work / "ok.tap").exists())
        self.assertEqual(self.run_it("report", "nbdcheck-results", "--tap=/dev/full",
                                     quick=False, code=3).err.count("\n"), 1)

    def test_a_full_disk(self):
        small = self.work / "small"
        small.mkdir()
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mount(b"tmpfs", str(small).encode(), b"tmpfs", 0, b"size=64k") != 0:
            self.skipTest("a small file system cannot be mounted here")
        try:
            (small / "m.toml").write_text('[[plugin]]\nplugin = "p"\nseeds = "1-3"\n')
            self.run_it(small / "m.toml", f"--directory={small}/r", "--seeds=1",
                        "--html=/dev/null", code=0)
            with contextlib.suppress(OSError), open(small / "filler", "wb", buffering=0) as filler:
                while True:
                    filler.write(bytes(512))
            done = self.run_it("q", "--resume", f"--directory={small}/r", "--html=/dev/null",
                               code=3)
            self.assertEqual(len(done.err.splitlines()), 1, done.err)
            self.assertIn("No space left on device", done.err)
            os.unlink(small / "filler")
            done = self.run_it("p", "q", "--resume", f"--directory={small}/r",
                               "--html=/dev/null", code=0)
            self.assertIn("2 conformant", done.out)
        finally:
            libc.umount2(str(small).encode(), 2)


class Interrupted(runs.Case):
    def interrupt(self, number, jobs=6):
        """A run that is interrupted after two of its jobs; what had ended by then."""
        words = [f"p{i}" + (f" do=slow-once name={i}" if i >= 2 else "") for i in range(jobs)]
        with self.start(*words, "--parallel=4", f"--nbdcheck={self.nbdcheck}") as process:
            self.wait_for(lambda: len(results(self.work / "nbdcheck-results")) == 2
                          and len(list(self.work.glob("log.*"))) == jobs - 2)
            process.send_signal(number)
            process.out, process.err = process.communicate(timeout=60)
        self.assert_clean()
        return process, results(self.work / "nbdcheck-results")

    def resume(self, before):
        called = len(self.calls())
        done = self.run_it("--resume", "--parallel=4", code=0)
        self.assertIn(f"{len(before)} of 6 jobs have been run before", done.out)
        self.assertEqual(len(self.calls()) - called, 6 - len(before), "only those that were left")
        self.assertIn("6 jobs (6 conformant)", done.out)

    def test_the_runner_is_killed_and_resumed(self):
        process, before = self.interrupt(signal.SIGKILL)
        self.assertEqual(process.returncode, -signal.SIGKILL)
        self.assertGreaterEqual(len(before), 2)
        self.resume(before)

    def test_ctrl_c(self):
        process, before = self.interrupt(signal.SIGINT)
        self.assertEqual(process.returncode, 130, process.err)
        self.assertIn("--resume", process.err)
        self.assertIn("not run", process.out)
        page = (self.work / "nbdcheck-results" / "report.html").read_text("utf-8")
        self.assertRegex(page, r"\d{4}-\d\d-\d\d \d\d:\d\d UTC; nbdcheck")
        self.resume(before)

    def test_what_is_ignored_does_not_end_it(self):
        """nohup, and what a script runs with "&"."""
        def deaf():
            for number in (signal.SIGINT, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
        with self.start("p0 seconds=1", f"--nbdcheck={self.nbdcheck}", preexec_fn=deaf) as process:
            self.wait_for(self.calls)
            for number in (signal.SIGINT, signal.SIGHUP):
                process.send_signal(number)
            process.out, process.err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0, process.out + process.err)
        self.assert_clean()

    def test_changed_files_are_run_again(self):
        plugin = self.work / "p.so"
        plugin.write_text("one")
        self.run_it("./p.so", "q", code=0)
        plugin.write_text("two")
        self.assertIn("1 of 2 jobs have been run before", self.run_it("--resume", code=0).out)
        self.assertEqual(len(self.calls()), 3)

    def test_more_jobs_later(self):
        self.run_it("p", code=0)
        done = self.run_it("p", "q", "--resume", code=0)
        self.assertIn("1 of 2 jobs have been run before", done.out)
        self.assertIn("2 jobs (2 conformant)", done.out)


if __name__ == "__main__":
    runs.main()
