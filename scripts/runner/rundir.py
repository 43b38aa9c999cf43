"""The directory of a run: what is to be run, and what has been.

    run.json             the jobs, and what the runner said about them; written once
    lock                 held by the runner that works here
    jobs/ID/result.json  there when a job has ended, never half written
    jobs/ID/...          what nbdcheck left: report.json, output.txt, artifacts/

Nothing but these files is needed to go on after the runner was killed.
"""

import errno
import fcntl
import os
import re
import time

from .common import BadInput, read_json, write_json
from .job import Job

SCHEMA = 1
JOB_ID = re.compile(r"[A-Za-z0-9_.=-]+")
ENDED = ("finished", "skipped", "refused", "failed", "killed", "limit", "lost")


class RunDirectory:
    def __init__(self, path):
        self.path = os.path.abspath(path)
        self._jobs = None
        self.about = {}

    def file(self, *parts):
        return os.path.join(self.path, *parts)

    def job_directory(self, job_id):
        if not JOB_ID.fullmatch(job_id):
            raise BadInput(f"not the id of a job: {job_id!r}")
        return self.file("jobs", job_id)

    @property
    def exists(self):
        return os.path.exists(self.file("run.json"))

    def lock(self):
        """Held until the runner ends, however it ends."""
        try:
            os.makedirs(self.path, exist_ok=True)
            lock = open(self.file("lock"), "a+", encoding="ascii")
        except OSError as problem:
            raise BadInput(f"{self.path}: {problem.strerror}") from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as problem:
            if problem.errno not in (errno.EAGAIN, errno.EACCES):
                raise BadInput(f"{self.path}: cannot be locked: {problem.strerror}") from None
            lock.seek(0)
            raise BadInput(f"{self.path}: another nbdcheck-run works here "
                           f"(process {lock.read(20).strip() or 'unknown'})") from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        return lock

    def create(self, jobs, about):
        os.makedirs(self.file("jobs"), exist_ok=True)
        self._jobs = {job.id: job for job in jobs}
        self.about = {"nbdcheck-run": SCHEMA, "created": time.time(), **about}
        write_json(self.file("run.json"),
                   {**self.about, "jobs": [job.to_json() for job in jobs]})

    def load(self):
        try:
            document = read_json(self.file("run.json"))
            if document.get("nbdcheck-run") != SCHEMA:
                raise ValueError(f"schema {document.get('nbdcheck-run')} is not known")
            jobs = [Job.from_json(value) for value in document["jobs"]]
        except (ValueError, KeyError, TypeError) as problem:
            raise BadInput(f"{self.path}: no directory of a run: {problem}") from None
        self._jobs = {job.id: job for job in jobs}
        self.about = {key: value for key, value in document.items() if key != "jobs"}
        return self

    @property
    def jobs(self):
        if self._jobs is None:
            self.load()
        return list(self._jobs.values())

    def job(self, job_id):
        if self._jobs is None:
            self.load()
        try:
            return self._jobs[job_id]
        except KeyError:
            raise BadInput(f"{self.path}: there is no job {job_id}") from None

    def result(self, job_id):
        """How a job ended, or None: it has not, or what it left cannot be read."""
        try:
            result = read_json(os.path.join(self.job_directory(job_id), "result.json"))
        except ValueError:
            return None
        return result if result.get("state") in ENDED else None

    def report(self, job_id):
        """nbdcheck's report; ValueError tells what is wrong with it."""
        report = read_json(os.path.join(self.job_directory(job_id), "report.json"))
        if report.get("schema") != 1:
            raise ValueError(f"report.json: schema {report.get('schema')} is not known")
        for key, kind in (("checks", list), ("findings", list), ("plugin", dict),
                          ("rules", dict), ("verdict", str), ("operations", int)):
            if not isinstance(report.get(key), kind):
                raise ValueError(f"report.json: {key} is missing")
        return report

    def is_done(self, job):
        """Whether a job need not run again: it ended, with these files and this report."""
        result = self.result(job.id)
        if not result or result.get("digest") != job.digest():
            return False
        if result["state"] != "finished":
            # What was refused or killed may go better now.
            return result["state"] == "skipped"
        try:
            self.report(job.id)
        except ValueError:
            return False
        return True
