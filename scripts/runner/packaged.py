"""Everything the installed nbdkit packages bring: --all-packaged.

How each of them is run stands in one table, which the tests use, too.
"""

import os
import pathlib
import re
import shlex
import shutil
import subprocess
import tomllib

from .common import BadInput, Failure
from .job import Job


def packaged_directory():
    """The table and its scripts: in the source tree, or installed beside this file."""
    here = pathlib.Path(__file__).resolve().parent
    for place in (here / "packaged", here.parent.parent / "tests" / "packaged"):
        if (place / "table.toml").is_file():
            return place
    raise Failure("the table of packaged plugins is not installed")


def scripts_directory():
    """Plugins in scripting languages, which their nbdkit plugins are run with."""
    place = packaged_directory()
    installed = place / "scripts"
    return installed if installed.is_dir() else place.parent.parent / "reference-plugins"


def plugin_directory():
    """Where nbdkit keeps its plugins; None where it is not installed."""
    nbdkit = shutil.which("nbdkit", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if not nbdkit:
        return None
    config = subprocess.run([nbdkit, "--dump-config"], capture_output=True, text=True,
                            check=False, stdin=subprocess.DEVNULL).stdout
    found = re.search(r"^plugindir=(.*)$", config, re.MULTILINE)
    return found.group(1) if found else None


def installed_plugins(directory):
    return sorted({match[1] for name in os.listdir(directory)
                   if (match := re.fullmatch(r"nbdkit-(.+)-plugin(?:\.so)?", name))})


def read_table():
    with open(packaged_directory() / "table.toml", "rb") as text:
        return tomllib.load(text)


def packaged_jobs(base, overrides):
    """(jobs, notes): the rows of the table whose plugin is installed; what is not run, and why."""
    directory = plugin_directory()
    if not directory:
        raise BadInput("--all-packaged: nbdkit is not installed")
    table = read_table()
    installed = installed_plugins(directory)
    chosen = base | overrides
    jobs, run = [], set()
    for row in table["row"]:
        plugin, *arguments = shlex.split(row["run"])
        scripts = re.findall(r"@PLUGIN:(\w+)@", row["run"])
        if plugin not in installed or not set(scripts) <= set(installed):
            continue
        run |= {plugin, *scripts}
        for profile in chosen.get("profiles", ("quick",)):
            for nbdkit in chosen.get("nbdkit", ("",)):
                for seed in chosen.get("seeds", (1,)):
                    jobs.append(Job(
                        name=scripts[0] if scripts else plugin, plugin=plugin,
                        arguments=tuple(arguments), profile=profile, seed=seed,
                        nbdcheck=chosen["nbdcheck"], nbdkit=nbdkit,
                        options=tuple(shlex.split(row.get("options", "")))
                        + chosen["more_options"],
                        time=chosen.get("time", 0), fail_on=chosen.get("fail-on", "must"),
                        waivers=chosen.get("waivers", ""), needs=tuple(row.get("needs", ())),
                        limit=chosen.get("limit", 0), memory=chosen.get("memory", 0),
                        cores=chosen.get("cores", 1)))
    reasons = {line["plugin"]: line["why"] for line in table["excluded"]}
    notes = [f"the packaged plugin {name} was not run: "
             f"{reasons.get(name, 'how it is run is not known')}"
             for name in installed if name not in run]
    return jobs, notes
