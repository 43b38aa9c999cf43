"""One job: nbdcheck on one plugin, within limits, its result kept.

Every engine runs this, on whatever machine; all it knows is the run's directory
and the job's id.  What it leaves in jobs/ID: report.json and events.jsonl by
nbdcheck, output.txt, artifacts/, and last of all result.json, which says that the
job has ended and how.
"""

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import time

from . import processes
from .common import LIMIT_SECONDS, Failure, duration, read_json, signal_name, write_json
from .materials import Materials, Unavailable
from .rundir import RunDirectory

POLL = 0.05
MEMORY_POLL = 0.5
EXIT_STOPPED = 130
TAIL = 4000  # characters of nbdcheck's output that are kept in the result


class Stopped(Exception):
    pass


class Worker:
    def __init__(self, directory, job_id, attempt):
        self.run = RunDirectory(directory)
        self.job = self.run.job(job_id)
        self.place = self.run.job_directory(job_id)
        self.attempt = attempt
        self.begin = time.time()
        self.command = []

    def main(self):
        os.makedirs(self.place, exist_ok=True)
        with open(os.path.join(self.place, "lock"), "w", encoding="ascii") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Failure(f"{self.job.id} is being run by somebody else") from None
            processes.adopt_orphans()
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, self.stop)
            self.clear()
            try:
                self.keep(self.attempt_it())
            except Stopped:
                return EXIT_STOPPED
            finally:
                processes.end_all_below(os.getpid())
        return 0

    def stop(self, *_):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # nothing keeps us from cleaning up
        raise Stopped

    def clear(self):
        """What an attempt that did not end left."""
        for name in ("result.json", "report.json", "events.jsonl", "output.txt"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(self.place, name))
        for name in ("artifacts", "files", "scratch"):
            shutil.rmtree(os.path.join(self.place, name), ignore_errors=True)

    def attempt_it(self):
        for need in self.job.needs:
            if "/" in need:
                if not os.path.exists(os.path.join(self.job.directory, need)):
                    return {"state": "skipped", "reason": f"{need} is not there"}
            elif not shutil.which(need, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin"):
                return {"state": "skipped", "reason": f"{need} is not installed"}
        # Here, so that it can be found and removed when this worker is killed.
        scratch = os.path.join(self.place, "scratch")
        files = os.path.join(self.place, "files")  # these stay as long as a reproducer names them
        os.makedirs(scratch)
        os.makedirs(files)
        materials = Materials(files, sockets=scratch)
        try:
            return self.check(materials, scratch)
        except Unavailable as reason:
            return {"state": "skipped", "reason": str(reason)}
        finally:
            materials.close()
            shutil.rmtree(scratch, ignore_errors=True)
            if not os.path.isdir(os.path.join(self.place, "artifacts")):
                shutil.rmtree(files, ignore_errors=True)

    def arguments(self, materials):
        job = self.job
        yield from (job.nbdcheck, f"--profile={job.profile}", f"--seed={job.seed}",
                    f"--jobs={job.cores}", f"--fail-on={job.fail_on}", "--color=never")
        if job.time:
            yield f"--time={job.time:g}"
        if job.nbdkit:
            yield f"--nbdkit={job.nbdkit}"
        if job.waivers:
            yield f"--waivers={job.waivers}"
        for kind, name in (("json", "report.json"), ("events", "events.jsonl")):
            yield f"--report={kind}:{os.path.join(self.place, name)}"
        yield f"--artifacts={os.path.join(self.place, 'artifacts')}"
        yield from job.options
        yield "--"
        yield job.plugin
        yield from map(materials.expand, job.arguments)

    def check(self, materials, scratch):
        self.command = list(self.arguments(materials))
        output = os.path.join(self.place, "output.txt")
        with open(output, "wb") as out:
            try:
                child = subprocess.Popen(
                    self.command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                    cwd=self.job.directory or scratch, env=os.environ | dict(self.job.environment),
                    start_new_session=True, preexec_fn=processes.end_with_parent)
            except OSError as problem:
                return {"state": "refused", "reason": f"{self.job.nbdcheck}: {problem.strerror}"}
            over = self.wait(child)
        with open(output, "rb") as text:
            text.seek(max(0, os.path.getsize(output) - TAIL))
            tail = text.read().decode(errors="replace")
        return self.outcome(child.returncode, over, tail) | {"output": tail}

    def wait(self, child):
        """Until it ends; what limit it was killed for, or ""."""
        limit = self.job.limit or max(LIMIT_SECONDS[self.job.profile], self.job.time * 20)
        begin = time.monotonic()
        looked = begin
        while child.poll() is None:
            now = time.monotonic()
            over = ""
            if now - begin > limit:
                over = f"it took more than {duration(limit)} (limit)"
            elif self.job.memory and now - looked > MEMORY_POLL:
                looked = now
                used = processes.memory_of(processes.descendants(os.getpid()), self.job.memory)
                if used > self.job.memory:
                    over = (f"it used {used >> 20} MiB of memory, more than "
                            f"{self.job.memory >> 20} MiB (memory)")
            if over:
                # Not end_all_below yet: it would take the exit status from the Popen.
                child.send_signal(signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(timeout=5)
                child.kill()
                child.wait()
                return over
            time.sleep(POLL)
        return ""

    def outcome(self, code, over, tail):
        report = None
        try:
            report = read_json(os.path.join(self.place, "report.json"))
            problem = "" if "findings" in report else "report.json: no report"
        except ValueError as reason:
            problem = str(reason)
        said = tail.strip().splitlines()[-1:] or [""]
        if over:
            return {"state": "limit", "reason": over}
        if code < 0:
            return {"state": "killed", "reason": f"nbdcheck was killed by {signal_name(-code)}"}
        if code == 2:
            return {"state": "refused", "reason": said[0]}
        if problem:
            return {"state": "failed", "reason": f"exit status {code}, {problem}; {said[0]}"}
        if report.get("exit_code") != code:
            return {"state": "failed", "reason": f"exit status {code}, but the report says "
                                                 f"{report.get('exit_code')}; {said[0]}"}
        return {"state": "finished", "reason": report.get("error") or ""}

    def keep(self, outcome):
        write_json(os.path.join(self.place, "result.json"), {
            "schema": 1, "id": self.job.id, **outcome, "command": self.command,
            "host": os.uname().nodename, "begin": self.begin, "end": time.time(),
            "attempt": self.attempt, "digest": self.job.digest()})


def main(directory, job_id, attempt, with_parent):
    if with_parent:
        processes.end_with_parent()
    return Worker(directory, job_id, attempt).main()
