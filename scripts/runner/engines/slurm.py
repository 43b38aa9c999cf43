"""Slurm: a job array for each batch; --sbatch hands further options on."""

import os
import re
import shlex
import shutil
import subprocess
import time

from ..common import BadInput, Failure
from .shared import SharedEngine

ARRAY = ".array"  # a file with the id of a batch's array, beside its list
PATIENCE = 60.0  # seconds until an array that was cancelled is gone


def ask(*command):
    """(exit status, output, errors) of one of Slurm's commands."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          check=False, timeout=60)
    return done.returncode, done.stdout.strip(), done.stderr.strip()


class SlurmEngine(SharedEngine):
    name = "slurm"

    def __init__(self, options):
        super().__init__(options)
        for tool in ("sbatch", "squeue", "scancel", "scontrol"):
            if not shutil.which(tool):
                raise BadInput(f"--engine=slurm: {tool} is not installed")
        self.slots = options.parallel or 1
        self.parallel = options.parallel
        self.options = options.sbatch
        status, said, problem = ask("scontrol", "show", "config")
        if status != 0:
            raise BadInput(f"--engine=slurm: {problem.splitlines()[-1] if problem else status}")
        if size := re.search(r"^MaxArraySize\s*=\s*(\d+)", said, re.MULTILINE):
            self.most = max(1, min(self.most, int(size[1]) - 1))

    def begin(self, directory):
        """A runner that was killed left its arrays in the queue: what they would do is done anew,
        and must not be done twice."""
        for name in os.listdir(directory):
            if name.endswith(ARRAY):
                path = os.path.join(directory, name)
                with open(path, encoding="ascii", errors="replace") as text:
                    if (array := text.read().strip()).isdecimal():
                        self.end(array)
                os.unlink(path)

    def end(self, array):
        ask("scancel", array)
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            status, said, _ = ask("squeue", "--noheader", f"--jobs={array}")
            if status != 0 or not said:
                return
            time.sleep(0.2)

    def submit(self, board, batch):
        script = f"{os.path.splitext(batch.list)[0]}.sh"
        with open(script, "w", encoding="utf-8") as out:
            out.write("#!/bin/sh\n"
                      f'job=$(sed -n "$((SLURM_ARRAY_TASK_ID + 1))p" {shlex.quote(batch.list)})\n'
                      f'exec {shlex.join(batch.worker)} "$job" --attempt={batch.attempt}\n')
        jobs = list(batch.jobs.values())
        command = ["sbatch", "--parsable", "--no-requeue", "--job-name=nbdcheck",
                   f"--array=0-{len(jobs) - 1}" + (f"%{self.parallel}" if self.parallel else ""),
                   f"--output={os.path.splitext(batch.list)[0]}-%a.out",
                   f"--cpus-per-task={max(job.cores for job in jobs)}"]
        if memory := max(job.memory for job in jobs):
            command.append(f"--mem={(memory >> 20) + 64}M")
        status, said, problem = ask(*command, *self.options, script)
        if status != 0:
            raise Failure(f"sbatch: {problem.splitlines()[-1] if problem else status}")
        batch.id = said.partition(";")[0]
        with open(f"{os.path.splitext(batch.list)[0]}{ARRAY}", "w", encoding="ascii") as out:
            out.write(batch.id)
        batch.order = [job.id for job in jobs]

    def gone(self, batch):
        status, said, _ = ask("squeue", "--noheader", "--array", f"--jobs={batch.id}",
                              "--format=%i %t")
        if status != 0 and "Invalid job id" not in _:
            return {}  # the controller does not answer: nobody is lost yet
        known = {int(match[1]) for match in re.finditer(r"^\d+_(\d+) ", said, re.MULTILINE)}
        return {job_id: Death(batch, index) for index, job_id in enumerate(batch.order)
                if index not in known and job_id in batch.jobs}

    def cancel(self, batch):
        self.end(batch.id)


class Death:
    """Why a task is gone; asked of the controller only when it is told."""

    def __init__(self, batch, index):
        self.batch = batch
        self.index = index

    def __str__(self):
        _, said, _ = ask("scontrol", "--oneliner", "show", "job", f"{self.batch.id}_{self.index}")
        facts = dict(re.findall(r"(JobState|Reason|ExitCode|NodeList)=(\S+)", said))
        where = facts.get("NodeList", "")
        return ("Slurm says " + ", ".join(
            f"{facts[key]}" if key == "JobState" else f"{key} {facts[key]}"
            for key in ("JobState", "Reason", "ExitCode") if facts.get(key, "None") != "None")
            + (f" on {where}" if where and where != "(null)" else "")) if facts else \
            "Slurm does not know it any more"
