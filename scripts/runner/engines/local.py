"""Workers on this machine, as many as its cores and memory allow."""

import os
import signal
import subprocess
import sys
import time

from .. import processes
from ..common import signal_name

POLL = 0.05
TICK = 0.25
PATIENCE = 15.0  # seconds a worker gets to end its job's processes


def total_memory():
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def default_slots():
    return max(1, len(os.sched_getaffinity(0)))


class LocalEngine:
    name = "local"

    def __init__(self, options):
        self.slots = options.parallel or default_slots()
        self.memory = options.memory_total or total_memory() * 9 // 10
        self.running = {}  # Popen: job

    def need(self, job):
        """(cores, bytes) of a job: what it says, or its share."""
        return (min(job.cores, self.slots),
                min(job.memory or self.memory // self.slots, self.memory))

    def fits(self, job):
        needs = [self.need(other) for other in [*self.running.values(), job]]
        return (sum(cores for cores, _ in needs) <= self.slots
                and sum(memory for _, memory in needs) <= self.memory)

    def work(self, board):
        ticked = 0.0
        try:
            while self.running or board.waiting:
                self.start(board)
                for child in [child for child in self.running if child.poll() is not None]:
                    job = self.running.pop(child)
                    board.ended(job, death_of(child))
                if time.monotonic() - ticked > TICK:
                    ticked = time.monotonic()
                    board.tick()
                time.sleep(POLL)
        finally:
            self.end_all()

    def start(self, board):
        # In order: a job that needs much is not passed by for ever.
        while board.waiting and self.fits(board.waiting[0]):
            job = board.next()
            child = subprocess.Popen(
                [sys.executable, "-B", board.program, "worker", board.run.path, job.id,
                 f"--attempt={board.attempt(job)}", "--with-parent"],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                # Ctrl-C comes to the runner alone: it knows what to do with its workers.
                start_new_session=True, preexec_fn=processes.end_with_parent)
            self.running[child] = job
            board.started(job)

    def end_all(self):
        """Every worker ends its own job's processes; a worker that does not is killed, and then
        nbdcheck gets the signal that its parent has died."""
        for child in self.running:
            child.send_signal(signal.SIGTERM)
        end = time.monotonic() + PATIENCE
        while any(child.poll() is None for child in self.running) and time.monotonic() < end:
            time.sleep(POLL)
        for child in self.running:
            if child.poll() is None:
                child.kill()
                child.wait()
        self.running.clear()


def death_of(child):
    """Why a worker left no result, if it left none."""
    said = child.stderr.read(4096).decode(errors="replace").strip().splitlines()
    child.stderr.close()
    if child.returncode < 0:
        return f"its worker was killed by {signal_name(-child.returncode)}"
    last = f": {said[-1].removeprefix('nbdcheck-run: ')}" if said else ""
    return f"its worker ended with status {child.returncode}{last}"
