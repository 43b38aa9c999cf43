"""One run of nbdcheck: what it is called, and what makes it that run and no other."""

import dataclasses
import hashlib
import json
import os
import re
import shlex


@dataclasses.dataclass(frozen=True)
class Job:
    """All that a worker on any machine needs; a value, kept as JSON in run.json."""

    name: str  # of the plugin, in the report
    plugin: str  # as on nbdcheck's command line
    arguments: tuple = ()  # placeholders not yet replaced
    profile: str = "quick"
    seed: int = 1
    build: str = ""  # a name of the matrix's [builds]
    nbdcheck: str = "nbdcheck"
    nbdkit: str = ""  # a path, "none", or "": nbdcheck looks for one
    options: tuple = ()
    environment: tuple = ()  # of pairs
    time: float = 0  # --time; 0: the profile's
    fail_on: str = "must"
    waivers: str = ""
    needs: tuple = ()  # programs, or files; without them the job is skipped
    limit: float = 0  # seconds until it is killed
    memory: int = 0  # bytes; 0: its share of the machine
    cores: int = 1  # checks at once: --jobs
    directory: str = ""  # relative paths are relative to it; "": a scratch directory

    @property
    def configuration(self):
        """What tells its rows apart, seeds aside."""
        parts = [shlex.join(self.arguments)] if self.arguments else []
        parts += [shlex.join(self.options)] if self.options else []
        return " ".join(parts)

    @property
    def row(self):
        """The row of the matrix; runs with other seeds belong to the same."""
        parts = [self.name, self.configuration, self.profile]
        parts += [f"build={self.build}"] if self.build else []
        parts += [f"nbdkit={self.nbdkit}"] if self.nbdkit else []
        return "  ".join(part for part in parts if part)

    @property
    def id(self):
        """A file name that stays the same from run to run, whatever else is in the matrix."""
        identity = [self.row, self.seed, self.plugin, self.time, self.fail_on, self.environment]
        digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:8]
        words = f"{self.name}_{' '.join(self.arguments)}"
        words = re.sub(r"[^A-Za-z0-9.=-]+", "_", words).strip("_")
        return f"{words[:60]}_{self.profile}_{self.seed}_{digest}"

    def to_json(self):
        return dataclasses.asdict(self) | {"id": self.id, "row": self.row}

    @classmethod
    def from_json(cls, value):
        known = {field.name: value[field.name] for field in dataclasses.fields(cls)
                 if field.name in value}
        for key in ("arguments", "options", "needs"):
            known[key] = tuple(known.get(key, ()))
        known["environment"] = tuple(tuple(pair) for pair in known.get("environment", ()))
        return cls(**known)

    def digest(self):
        """Of what a result depends on: the files may have changed since an earlier run."""
        digest = hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode())
        for path in (self.nbdcheck, self.plugin):
            path = os.path.join(self.directory, path) if "/" in path else ""
            try:
                with open(path, "rb") as content:
                    digest.update(content.read())
            except OSError:
                digest.update(b"absent")
        return digest.hexdigest()


def shard_of(jobs, shard):
    """Every n-th job from the i-th on, of all jobs in their order: (i, n) of --shard=i/n."""
    index, count = shard
    return jobs[index - 1::count]
