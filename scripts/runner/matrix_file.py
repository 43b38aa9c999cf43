"""Reads a matrix: plugins x arguments x profiles x builds x seeds x nbdkits, as TOML."""

import itertools
import os
import shlex
import shutil
import tomllib

from .common import PROFILES, SEVERITIES, BadInput, bytes_of, seeds_of
from .job import Job
from .toml_lines import lines_of


def text(value):
    if not isinstance(value, str) or not value:
        raise ValueError("must be a string, and not empty")
    return value


def texts(value):
    """A string counts as a list of one."""
    value = [value] if isinstance(value, str) else value
    if not isinstance(value, list) or not value or not all(isinstance(v, str) and v for v in value):
        raise ValueError("must be a string or a list of strings, not empty")
    return tuple(value)


def words(value):
    """Options: a string as in a shell, or a list of words."""
    if isinstance(value, str):
        return tuple(shlex.split(value))
    return texts(value) if value != [] else ()


def configurations(value):
    """Arguments: one configuration for each item, a string as in a shell or a list of words."""
    if not isinstance(value, list) or not value:
        raise ValueError('must be a list of configurations: ["size=1M", ["file=a b.img"]]')
    try:
        return tuple(words(item) if isinstance(item, (str, list)) else words(None)
                     for item in value)
    except ValueError:
        raise ValueError('each configuration is a string as in a shell, or a list of words'
                         ) from None


def profiles(value):
    value = texts(value)
    for profile in value:
        if profile not in PROFILES:
            raise ValueError(f"unknown profile {profile!r}; there are {', '.join(PROFILES)}")
    return value


def number(value):
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1e9:
        raise ValueError("must be a number of seconds above 0")
    return value


def cores(value):
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= 1024:
        raise ValueError("must be a number of checks at once, from 1 on")
    return value


def size(value):
    return bytes_of(text(value))


def environment(value):
    if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
        raise ValueError("must be a table of strings")
    return tuple(sorted(value.items()))


def fail_on(value):
    if value not in [severity.lower() for severity in SEVERITIES]:
        raise ValueError("must be must, should or quality")
    return value


BOTH = {"profiles": profiles, "seeds": seeds_of, "nbdkit": texts, "options": words,
        "time": number, "limit": number, "memory": size, "cores": cores,
        "environment": environment, "fail-on": fail_on, "waivers": text, "builds": texts}
TOP = {key: check for key, check in BOTH.items() if key != "builds"}
PLUGIN = BOTH | {"plugin": text, "name": text, "arguments": configurations, "needs": texts}
BUILD = {"nbdcheck": text, "environment": environment}


class Reader:
    def __init__(self, path):
        self.path = path
        try:
            with open(path, encoding="utf-8") as file:
                content = file.read()
            self.document = tomllib.loads(content)
        except OSError as problem:
            raise BadInput(f"{path}: {problem.strerror}") from None
        except tomllib.TOMLDecodeError as problem:
            raise BadInput(self.syntax(str(problem), content)) from None
        except UnicodeDecodeError:
            raise BadInput(f"{path}: not UTF-8") from None
        self.lines = lines_of(content)

    def syntax(self, problem, content):
        message, _, place = problem.rpartition(" (at ")
        line = place.removeprefix("line ").split(",")[0]
        if not line.isdecimal():
            line = str(content.count("\n") + 1)  # "at end of document"
        return f"{self.path}:{line}: {message or problem}"

    def wrong(self, where, problem):
        while where and where not in self.lines:
            where = where[:-1]
        return BadInput(f"{self.path}:{self.lines.get(where, 1)}: {problem}")

    def table(self, value, checks, where, more=()):
        """The checked keys of a table; `more` are those read by somebody else."""
        if not isinstance(value, dict):
            raise self.wrong(where, f"{where[-1]} must be a table")
        result = {}
        for key, item in value.items():
            if key in more:
                continue
            if key not in checks:
                known = ", ".join(sorted([*checks, *more]))
                raise self.wrong((*where, key), f"unknown key {key!r}; known are: {known}")
            try:
                result[key] = checks[key](item)
            except ValueError as problem:
                raise self.wrong((*where, key), f"{key}: {problem}") from None
        return result

    def builds(self):
        tables = self.document.get("builds", {})
        if not isinstance(tables, dict):
            raise self.wrong(("builds",), "builds must be tables: [builds.asan]")
        return {name: self.table(value, BUILD, ("builds", name))
                for name, value in tables.items()}

    def jobs(self, base, overrides):
        top = self.table(self.document, TOP, (), more=("builds", "plugin"))
        builds = self.builds()
        plugins = self.document.get("plugin", [])
        if not isinstance(plugins, list) or not plugins:
            raise self.wrong(("plugin",), "there is no [[plugin]]")
        seen = {}
        for index, value in enumerate(plugins):
            where = ("plugin", index)
            own = self.table(value, PLUGIN, where)
            if "plugin" not in own:
                raise self.wrong(where, "plugin is missing: a path, or a name as nbdkit finds it")
            for name in own.get("builds", ()):
                if name not in builds:
                    raise self.wrong((*where, "builds"), f"there is no [builds.{name}]")
            if "{build}" in own["plugin"] and not own.get("builds", builds):
                raise self.wrong((*where, "plugin"), "{build} needs builds")
            for job in self.expand(base | top | own | overrides, top, own, builds):
                if job.id in seen:
                    raise self.wrong(where, f"the same run as of the plugin in line "
                                            f"{seen[job.id]}: {job.row}, seed {job.seed}")
                yield job
                seen[job.id] = self.lines.get(where, 1)

    def expand(self, chosen, top, own, builds):
        directory = os.path.dirname(os.path.abspath(self.path))
        plain = own["plugin"].replace("{build}", "")
        name = own.get("name") or default_name(plain)
        options = top.get("options", ()) + own.get("options", ()) + chosen["more_options"]
        waivers = chosen.get("waivers", "")
        for arguments, profile, build, nbdkit, seed in itertools.product(
                own.get("arguments", ((),)), chosen.get("profiles", ("quick",)),
                own.get("builds", tuple(builds) or ("",)), chosen.get("nbdkit", ("",)),
                chosen.get("seeds", (1,))):
            made = builds.get(build, {})
            variables = dict(top.get("environment", ())) | dict(made.get("environment", ()))
            variables |= dict(own.get("environment", ()))
            yield Job(
                name=name, plugin=own["plugin"].replace("{build}", build), arguments=arguments,
                profile=profile, seed=seed, build=build,
                nbdcheck=program(made.get("nbdcheck", chosen["nbdcheck"]), directory),
                nbdkit=nbdkit, options=options, environment=tuple(sorted(variables.items())),
                time=chosen.get("time", 0), fail_on=chosen.get("fail-on", "must"),
                waivers=os.path.join(directory, waivers) if waivers else "",
                needs=own.get("needs", ()), limit=chosen.get("limit", 0),
                memory=chosen.get("memory", 0), cores=chosen.get("cores", 1),
                directory=directory)


def program(name, directory):
    """Where a program is, for workers that start elsewhere."""
    if "/" in name:
        return os.path.normpath(os.path.join(directory, name))
    return shutil.which(name) or name


def default_name(plugin):
    """libmydisk.so, nbdkit-mydisk-plugin.so and mydisk are all mydisk."""
    name = os.path.basename(plugin).split(".so")[0]
    if name.startswith("nbdkit-") and name.endswith("-plugin"):
        return name[len("nbdkit-"):-len("-plugin")]
    return name.removeprefix("lib") or plugin


def read_matrix(path, base, overrides):
    """The jobs of a matrix file; what the command line says goes over what the file says."""
    return list(Reader(path).jobs(base, overrides))
