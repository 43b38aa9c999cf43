"""Engines that hand batches of jobs to somebody else: what they have in common.

The run's directory is on a file system that all hosts share.  Whoever runs a job
leaves its result there; a job that its batch does no longer know, and that left
none, is lost.
"""

import contextlib
import os
import sys
import time

POLL = 0.3
GRACE = 3.0  # seconds in which a result may still appear: file systems of a network take a while


class Batch:
    """Jobs that were handed over together."""

    def __init__(self, number, jobs):
        self.number = number
        self.jobs = {job.id: job for job in jobs}
        self.submitted = time.time()
        self.started = set()
        self.gone_since = {}


class SharedEngine:
    most = 1000  # jobs in a batch

    def __init__(self, options):
        self.batches = []
        self.count = 0

    # What an engine knows to do:

    def begin(self, directory):
        """Before the first batch: ends what an earlier runner left."""

    def submit(self, board, batch):
        raise NotImplementedError

    def gone(self, batch):
        """{id: why} of the jobs of a batch that neither wait nor run any more."""
        raise NotImplementedError

    def cancel(self, batch):
        raise NotImplementedError

    # The rest is the same for all:

    def work(self, board):
        directory = board.run.file("batches")
        os.makedirs(directory, exist_ok=True)
        self.count = sum(1 for name in os.listdir(directory) if name.endswith(".jobs"))
        self.begin(directory)
        try:
            while board.waiting or self.batches:
                while board.waiting:
                    self.hand_over(board, directory)
                for batch in list(self.batches):
                    self.look(board, batch)
                    if not batch.jobs:
                        self.batches.remove(batch)
                board.tick()
                time.sleep(POLL)
        finally:
            for batch in self.batches:
                self.cancel(batch)

    def hand_over(self, board, directory):
        # One attempt for all of a batch: it is on the command line.
        attempt = board.attempt(board.waiting[0])
        jobs = []
        while board.waiting and len(jobs) < self.most and \
                board.attempt(board.waiting[0]) == attempt:
            job = board.next()
            # What appears from now on is of this attempt.
            for name in ("result.json", "lock"):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(os.path.join(board.run.job_directory(job.id), name))
            jobs.append(job)
        self.count += 1
        batch = Batch(self.count, jobs)
        batch.list = os.path.join(directory, f"{self.count}.jobs")
        batch.log = os.path.join(directory, f"{self.count}.log")
        with open(batch.list, "w", encoding="ascii") as out:
            out.writelines(f"{job.id}\n" for job in jobs)
        batch.worker = [sys.executable, "-B", board.program, "worker", board.run.path]
        batch.attempt = attempt + 1
        self.submit(board, batch)
        self.batches.append(batch)

    def look(self, board, batch):
        gone = self.gone(batch)
        for job in list(batch.jobs.values()):
            place = board.run.job_directory(job.id)
            if job.id not in batch.started and os.path.exists(os.path.join(place, "lock")):
                batch.started.add(job.id)
                board.started(job)
            if board.run.result(job.id):
                del batch.jobs[job.id]
                board.ended(job, "")
            elif job.id in gone:
                since = batch.gone_since.setdefault(job.id, time.monotonic())
                if time.monotonic() - since > GRACE:
                    del batch.jobs[job.id]
                    board.ended(job, gone[job.id])
