"""Which jobs wait, which are lost and tried again: what every engine works on."""

import collections
import os
import shutil
import time

from .common import complain, write_json


class Board:
    def __init__(self, run, jobs, progress, retries, program):
        self.run = run
        self.waiting = collections.deque(jobs)
        self.progress = progress
        self.retries = retries
        self.program = os.path.abspath(program)  # nbdcheck-run itself, for workers
        self.attempts = collections.Counter()

    def attempt(self, job):
        return self.attempts[job.id]

    def next(self):
        job = self.waiting.popleft()
        self.attempts[job.id] += 1
        return job

    def started(self, job):
        self.progress.started(job)

    def tick(self):
        self.progress.tick()

    def ended(self, job, death):
        """A worker is gone.  `death` says why it left no result, if it left none."""
        result = self.run.result(job.id)
        report = None
        if result and result["state"] == "finished":
            try:
                report = self.run.report(job.id)
            except ValueError as problem:
                result, death = None, str(problem)
        if result and result["state"] != "killed":
            self.progress.ended(job, result, report)
            return
        reason = result["reason"] if result else death
        if self.attempts[job.id] <= self.retries:
            self.waiting.append(job)
            self.progress.again(job, reason)
            return
        if not result:
            result = self.lose(job, reason)
        self.progress.ended(job, result, None)

    def lose(self, job, reason):
        shutil.rmtree(os.path.join(self.run.job_directory(job.id), "scratch"), ignore_errors=True)
        now = time.time()
        result = {"schema": 1, "id": job.id, "state": "lost", "command": [], "host": "",
                  "reason": f"no result after {self.attempts[job.id]} attempts: {reason}",
                  "begin": now, "end": now, "attempt": self.attempts[job.id], "digest": ""}
        try:
            os.makedirs(self.run.job_directory(job.id), exist_ok=True)
            write_json(os.path.join(self.run.job_directory(job.id), "result.json"), result)
        except OSError as problem:
            # The report will say that there is no result, which is as true.
            complain(f"{job.id}: {problem.strerror}")
        return result
