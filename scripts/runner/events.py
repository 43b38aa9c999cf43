"""Follows the events of a job that runs: --report=events of nbdcheck."""

import json
import os


class Follower:
    """Reads what is new in an events.jsonl each time it is asked."""

    def __init__(self, path):
        self.path = path
        self.at = 0
        self.rest = b""
        self.check = ""
        self.done = self.total = self.operations = 0

    def news(self):
        """The events since the last time.  The file need not be there, or whole."""
        try:
            with open(self.path, "rb") as file:
                if os.fstat(file.fileno()).st_size < self.at:
                    self.at, self.rest = 0, b""  # a new attempt
                file.seek(self.at)
                new = file.read(1 << 20)
                self.at = file.tell()
        except OSError:
            return []
        *lines, self.rest = (self.rest + new).split(b"\n")
        return [event for line in lines if (event := self.parse(line))]

    def parse(self, line):
        try:
            event = json.loads(line)
        except ValueError:
            return None
        if not isinstance(event, dict):
            return None
        if event.get("event") == "progress":
            self.check = str(event.get("check", ""))
            self.done, self.total = event.get("done", 0), event.get("total", 0)
            self.operations = event.get("operations", 0)
        return event
