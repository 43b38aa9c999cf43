"""What nbdcheck says about itself: its rules and checks, once for a run."""

import json
import os
import shutil
import subprocess

from .common import BadInput


def find_nbdcheck(program):
    """Beside this program, in the build of this source tree, or in PATH."""
    here = os.path.dirname(os.path.realpath(program))
    for place in (os.path.join(here, "nbdcheck"),
                  os.path.join(here, "..", "build", "release", "conformance", "nbdcheck")):
        if os.access(place, os.X_OK):
            return os.path.normpath(place)
    return shutil.which("nbdcheck")


def ask(nbdcheck, *arguments):
    try:
        return subprocess.run([nbdcheck, *arguments], stdin=subprocess.DEVNULL, text=True,
                              capture_output=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as problem:
        reason = getattr(problem, "strerror", None) or "does not answer"
        raise BadInput(f"{nbdcheck}: {reason}") from None


def read_catalogue(nbdcheck):
    asked = ask(nbdcheck, "list", "--format=json")
    try:
        catalogue = json.loads(asked.stdout)
        return {"nbdcheck": catalogue["nbdcheck"],
                "rules": {rule["id"]: rule for rule in catalogue["rules"]},
                "checks": {check["id"]: check for check in catalogue["checks"]}}
    except (ValueError, KeyError, TypeError):
        raise BadInput(f"{nbdcheck}: 'list --format=json' is not what nbdcheck says") from None


def check_waivers(nbdcheck, path):
    """nbdcheck knows what a file of waivers is; the plugin's name never gets that far."""
    asked = ask(nbdcheck, f"--waivers={path}", "--", "/dev/null/no-plugin")
    said = asked.stderr.strip().splitlines()[-1:] or [""]
    if asked.returncode == 2 and path in said[0]:
        raise BadInput(said[0].removeprefix("nbdcheck: "))


def nbdkit_version():
    nbdkit = shutil.which("nbdkit", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not nbdkit:
        return None
    try:
        asked = ask(nbdkit, "--version")
    except BadInput:
        return None
    return asked.stdout.strip().splitlines()[0] if asked.stdout.strip() else None
