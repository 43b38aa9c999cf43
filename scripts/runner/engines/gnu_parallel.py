"""GNU parallel, on this machine or by --sshlogin on others."""

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess

from .. import processes
from ..common import BadInput
from .local import default_slots
from .shared import SharedEngine

PATIENCE = 20.0


class ParallelEngine(SharedEngine):
    name = "parallel"
    most = 100_000

    def __init__(self, options):
        super().__init__(options)
        version = shutil.which("parallel") and subprocess.run(
            ["parallel", "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
            check=False).stdout
        if not version or "GNU parallel" not in version:
            raise BadInput("--engine=parallel: GNU parallel is not installed")
        self.logins = options.sshlogin or []
        self.slots = options.parallel or default_slots() * max(1, len(self.logins))
        self.parallel = options.parallel

    def submit(self, board, batch):
        command = ["parallel", "--will-cite", "--quote", "--joblog", batch.log,
                   "--jobs", str(self.parallel) if self.parallel else "100%",
                   # A worker ends its job's processes before it goes.
                   "--termseq", "TERM,15000,KILL,25", "--arg-file", batch.list]
        for login in self.logins:
            command += ["--sshlogin", login]
        with open(f"{batch.log}.errors", "wb") as errors:
            batch.process = subprocess.Popen(
                [*command, *batch.worker, "{}", f"--attempt={batch.attempt}"],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors,
                # SIGTERM, when the runner is killed: it ends its jobs.
                start_new_session=True, preexec_fn=processes.end_with_parent)

    def gone(self, batch):
        """Those that the log of GNU parallel says have ended, or all when it has."""
        ended = {}
        with contextlib.suppress(FileNotFoundError):
            with open(batch.log, encoding="utf-8", errors="replace") as log:
                for line in log.readlines()[1:]:
                    fields = line.rstrip("\n").split("\t")
                    if len(fields) < 9:
                        continue
                    for word in shlex.split(re.sub(r"\\(.)", r"\1", fields[8])):
                        if word in batch.jobs:
                            host = "" if fields[1] == ":" else f" on {fields[1]}"
                            ended[word] = (f"its worker ended with status {fields[6]}, signal "
                                           f"{fields[7]}{host}")
        if batch.process.poll() is not None:
            for job_id in batch.jobs:
                ended.setdefault(job_id, self.last_words(batch))
        return ended

    def last_words(self, batch):
        with open(f"{batch.log}.errors", encoding="utf-8", errors="replace") as errors:
            said = errors.read().strip().splitlines()[-1:]
        return f"parallel ended with status {batch.process.returncode}" + "".join(
            f": {line}" for line in said)

    def cancel(self, batch):
        # The first makes it start no more jobs, the second makes it end those that run.
        for _ in range(2):
            with contextlib.suppress(ProcessLookupError):
                batch.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                batch.process.wait(timeout=0.5)
        with contextlib.suppress(subprocess.TimeoutExpired):
            batch.process.wait(timeout=PATIENCE)
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(batch.process.pid, signal.SIGKILL)
        batch.process.wait()
