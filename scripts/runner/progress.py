"""What one sees while it runs: a live picture on a terminal, else plain lines."""

import collections
import os
import sys
import time

from .common import EXPECTED_SECONDS, complain, duration, printable, with_commas
from .events import Follower

HEARTBEAT = 60  # seconds between signs of life in plain lines


class Running:
    def __init__(self, job, place):
        self.job = job
        self.begin = time.monotonic()
        self.follower = Follower(os.path.join(place, "events.jsonl"))

    @property
    def seconds(self):
        return time.monotonic() - self.begin


class Progress:
    """Counts, and tells; what telling means the subclasses know."""

    def __init__(self, run, jobs, slots):
        self.run = run
        self.total = len(jobs)
        self.slots = max(1, slots)
        self.waiting = {job.id: job for job in jobs}
        self.running = {}
        self.counts = collections.Counter()
        self.findings = collections.Counter()
        self.seconds = collections.defaultdict(list)  # of finished jobs, by profile
        self.begin = time.monotonic()

    def expected(self, job):
        seen = self.seconds[job.profile]
        return sum(seen) / len(seen) if seen else job.time or EXPECTED_SECONDS[job.profile]

    def seconds_left(self):
        # Of what takes longer than expected nobody knows; half as long again is a guess.
        running = [max(self.expected(r.job) - r.seconds, r.seconds / 2)
                   for r in self.running.values()]
        work = sum(running) + sum(map(self.expected, self.waiting.values()))
        return max([work / self.slots, *running])

    def started(self, job):
        self.waiting.pop(job.id, None)
        self.running[job.id] = Running(job, self.run.job_directory(job.id))

    def tick(self):
        for running in self.running.values():
            for event in running.follower.news():
                self.event(running.job, event)

    def event(self, job, event):
        if event.get("event") == "finding":
            self.findings[event.get("severity")] += 1
            waived = "  (waived)" if event.get("waived") else ""
            self.say(f"{'':9} {event.get('severity', ''):<8} {event.get('rule', '')}{waived}  "
                     f"{job.row}  seed {job.seed}", event.get("severity"))

    def ended(self, job, result, report):
        running = self.running.pop(job.id, None)
        if running:  # the last findings, before the line that counts them
            for event in running.follower.news():
                self.event(job, event)
            self.seconds[job.profile].append(running.seconds)
        self.waiting.pop(job.id, None)
        state = result["state"]
        if state == "finished":
            state = report["verdict"]
            rest = f"{with_commas(report['operations'])} operations"
            if rules := dict.fromkeys(f["rule"] for f in report["findings"]):
                rest += "  " + ", ".join(rules)
        else:
            rest = result.get("reason", "")
        self.counts[state] += 1
        done = f"[{sum(self.counts.values())}/{self.total}]"
        taken = result.get("end", 0) - result.get("begin", 0)
        self.say(f"{done:<9} {state:<15} {job.row}  seed {job.seed}  {taken:.1f} s  {rest}", state)

    def again(self, job, reason):
        self.running.pop(job.id, None)
        self.waiting[job.id] = job
        self.say(f"{'':9} lost, again     {job.row}  seed {job.seed}  {reason}", "killed")

    def note(self, text):
        self.say(text, "")

    def say(self, text, kind):
        raise NotImplementedError

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


class PlainProgress(Progress):
    def __init__(self, run, jobs, slots, out=None):
        super().__init__(run, jobs, slots)
        self.out = out or sys.stdout
        self.told = time.monotonic()

    def say(self, text, kind):
        self.told = time.monotonic()
        print(printable(text), file=self.out, flush=True)

    def tick(self):
        super().tick()
        if self.running and time.monotonic() - self.told > HEARTBEAT:
            at = "; ".join(f"{r.job.row} seed {r.job.seed}: {r.follower.check or 'starting'} "
                           f"({r.follower.done} of {r.follower.total} checks)"
                           for r in self.running.values())
            self.say(f"{'':9} running for {duration(time.monotonic() - self.begin)}, about "
                     f"{duration(self.seconds_left())} left: {at}", "")


def choose_progress(run, jobs, slots, wanted="auto"):
    """A live picture where somebody looks at it and wants colours; plain lines elsewhere."""
    live = wanted == "live" or (
        wanted == "auto" and sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM", "dumb") != "dumb")
    if live:
        try:
            from .live import LiveProgress
            return LiveProgress(run, jobs, slots)
        except ImportError:
            complain("python3-rich is not installed: plain lines instead of a live picture")
    return PlainProgress(run, jobs, slots)
