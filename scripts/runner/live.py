"""The live picture: a bar for all, a line for each job that runs, findings above them."""

import time

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from .common import duration, printable
from .progress import Progress

STYLES = {"MUST": "bold red", "nonconformant": "red", "killed": "magenta", "failed": "magenta",
          "lost": "magenta", "limit": "magenta", "refused": "magenta", "SHOULD": "yellow",
          "QUALITY": "cyan", "conformant": "green", "skipped": "dim", "nothing-checked": "yellow"}
SHOWN = 12  # running jobs


class LiveProgress(Progress):
    def __init__(self, run, jobs, slots, console=None):
        super().__init__(run, jobs, slots)
        self.console = console or Console(highlight=False)
        self.live = Live(get_renderable=self.picture, console=self.console, refresh_per_second=4,
                         transient=True)

    def __enter__(self):
        self.live.__enter__()
        return self

    def __exit__(self, *problem):
        self.live.__exit__(*problem)

    def say(self, text, kind):
        self.console.print(Text(printable(text), style=STYLES.get(kind, "")), soft_wrap=True)

    def picture(self):
        done = sum(self.counts.values())
        head = Table.grid(padding=(0, 1), expand=True)
        head.add_column(width=30)
        head.add_column()
        counts = ", ".join(f"{count} {state}" for state, count in self.counts.items())
        found = ", ".join(f"{count} {severity}" for severity, count in self.findings.items())
        head.add_row(
            ProgressBar(total=max(1, self.total), completed=done, width=30),
            Text(f"{done} of {self.total}; {duration(time.monotonic() - self.begin)}, about "
                 f"{duration(self.seconds_left())} left"
                 + (f"; {counts}" if counts else "") + (f"; findings: {found}" if found else "")))
        body = Table.grid(padding=(0, 2), expand=True)
        body.add_column(ratio=3, no_wrap=True, overflow="ellipsis")
        body.add_column(ratio=2, no_wrap=True, overflow="ellipsis")
        body.add_column(justify="right", no_wrap=True)
        body.add_column(justify="right", no_wrap=True)
        for running in list(self.running.values())[:SHOWN]:
            at = running.follower
            body.add_row(
                Text(printable(f"{running.job.row}  seed {running.job.seed}")),
                Text(printable(at.check or "starting"), style="cyan"),
                Text(f"{at.done}/{at.total}" if at.total else ""),
                Text(f"{duration(running.seconds)} of about "
                     f"{duration(max(self.expected(running.job), running.seconds))}",
                     style="dim"))
        if len(self.running) > SHOWN:
            body.add_row(Text(f"and {len(self.running) - SHOWN} more", style="dim"), "", "", "")
        return Group(head, body)
