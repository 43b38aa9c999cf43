"""How the plugins that reference-plugins/*.txt name are run, and which cannot be here.

A plugin is a file in the build's plugins/ directory.  With an argument @HERE@/FILE,
a script beside the lists, it is one of nbdkit's language plugins instead.
"""

import functools
import pathlib
import re
import shutil
import subprocess

HERE = pathlib.Path(__file__).resolve().parent.parent / "reference-plugins"
SCRIPT = "@HERE@/"


@functools.cache
def nbdkit_plugins():
    """The directory of nbdkit's own plugins; None without nbdkit."""
    nbdkit = shutil.which("nbdkit") or shutil.which("nbdkit", path="/usr/sbin:/usr/local/sbin")
    if not nbdkit:
        return None
    config = subprocess.run([nbdkit, "--dump-config"], stdout=subprocess.PIPE, text=True,
                            check=False).stdout
    found = re.search(r"^plugindir=(.*)$", config, re.MULTILINE)
    return pathlib.Path(found[1]) if found else None


def is_script(arguments):
    return any(argument.startswith(SCRIPT) for argument in arguments)


def plugin_word(directory, plugin, arguments):
    """What nbdcheck is given as PLUGIN."""
    return plugin if is_script(arguments) else str(pathlib.Path(directory) / f"{plugin}.so")


def expand(argument, places):
    """`places`: what @FILE@ and its like stand for."""
    for name, value in {"HERE": HERE, **places}.items():
        argument = argument.replace(f"@{name}@", str(value))
    return argument


def why_not(directory, plugin, arguments):
    """Why the plugin cannot be run on this machine; "": it can be, or should."""
    if is_script(arguments):
        place = nbdkit_plugins()
        if place is None:
            return "nbdkit is not installed"
        if not (place / f"nbdkit-{plugin}-plugin.so").exists():
            return f"nbdkit's {plugin} plugin is not installed"
        return ""
    note = pathlib.Path(directory) / f"{plugin}.not-built"  # written by CMake
    if (pathlib.Path(directory) / f"{plugin}.so").exists() or not note.exists():
        return ""
    return note.read_text(encoding="utf-8").strip()
