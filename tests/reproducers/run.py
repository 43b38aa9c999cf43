#!/usr/bin/python3
"""The plans and scripts that nbdcheck writes, on plugins with a fault and without it.

  run.py --nbdcheck=PATH --plugins=DIRECTORY [--only=REGEX] [--shard=I/N]

For each line of reference-plugins/faulty.txt: the plan of its finding, replayed,
and its script on the real nbdkit must show the fault, and must not show it on the
correct twin, the same plugin with fault=none.  Lines whose finding has no script are counted, by
the reason nbdcheck gives.  NOT_SEEN names the lines of which the real nbdkit
shows nothing, and why.  Plugins that the build left out (plugins/NAME.not-built) are
not looked at.  77: nbdkit or libnbd's Python module is not installed.
"""
import argparse
import collections
import concurrent.futures
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True  # nothing is left in the source tree
sys.path.insert(0, str(ROOT / "scripts"))
import reference_plugins  # noqa: E402  (found by the line above)

PYTHON = "/usr/bin/python3"
SHOWN, NOT_SHOWN = 1, 0

# Rules of what a client can see.  (Those about hangs take too long for a test.)
VISIBLE = (r"^(data|extents|zero|trim|cache|capability|handle|blocksize|size\.value|"
           r"flush\.harmless|process\.(crash|exit)|differential)")

ENDS = "it exits with status 0 when nbdkit was about to do so"

# What is wrong there does not come out of the real server.
NOT_SEEN = {
    "faulty-handle fault=once-a-client":
        "a client that asks for information and then opens on one connection is not a script's",
    "faulty-extents fault=gap-ignored":
        "nbdkit serves the extents before the gap, and the client asks again for the rest",
    "faulty-process fault=exit-unload": ENDS,
    "faulty-process fault=exit-cleanup": ENDS,
    "faulty-process fault=_exit-unload": ENDS,
    "faulty-capability fault=fua-7": "nbdkit takes every value above 2 for emulation",
    "faulty-capability fault=cache-9": "nbdkit takes every value above 2 for a .cache",
    "faulty-capability fault=block-unset": "what is on nbdkit's stack happens to be legal",
}


def lines(path, long):
    """Those of the sections that take long, or of the others."""
    section = ""
    for text in path.read_text(encoding="utf-8").splitlines():
        if text.startswith("["):
            section = text.strip("[]")
        if section.startswith("long: ") != long:
            continue
        fields = [field.strip() for field in text.split("|")]
        if len(fields) >= 2 and not text.startswith("#"):
            yield fields[0], fields[1], fields[2].split() if len(fields) > 2 else []


class Files:
    def __init__(self, directory):
        self.file = os.path.join(directory, "disk.img")
        with open(self.file, "wb") as out:
            out.write(bytes(range(256)) * (3 << 12))
        self.directory = os.path.join(directory, "disks")
        os.mkdir(self.directory)
        with open(os.path.join(self.directory, "disk"), "wb") as out:
            out.write(bytes(range(256)) * 4096)

    def expand(self, text):
        return reference_plugins.expand(text, {"FILE": self.file, "DIR": self.directory})


def twin(script, plugin):
    """The same script for the plugin without its fault."""
    text = script.read_text(encoding="utf-8")
    changed, count = re.subn(r'^(    )"fault=[^"]*"', r'\1"fault=none"', text, flags=re.MULTILINE)
    if not count:
        changed = changed.replace(f"/{plugin}.so\"", "/model-all-requests.so\"")
    other = script.with_suffix(".twin.py")
    other.write_text(changed, encoding="utf-8")
    return other


def replay_problem(finding, options):
    """What is wrong with replays of the plan; "": nothing."""
    _, command, plan, *more = shlex.split(finding["replay"])

    def replay(path):
        try:
            done = subprocess.run([options.nbdcheck, command, path, *more],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, errors="replace",
                                  timeout=120, check=False)
        except subprocess.TimeoutExpired:
            return False, "it took too long"
        return ": reproduced in" in done.stdout, done.stdout

    shown, output = replay(plan)
    if not shown:
        return f"its plan shows nothing\n{output}"
    text = pathlib.Path(plan).read_text(encoding="utf-8")
    correct, count = re.subn(r"^arg fault=.*$", "arg fault=none", text, flags=re.MULTILINE)
    if not count:
        return ""
    other = pathlib.Path(plan).with_suffix(".twin.plan")
    other.write_text(correct, encoding="utf-8")
    shown, output = replay(other)
    return f"its plan shows it on the correct twin\n{output}" if shown else ""


def run_script(script, options):
    environment = dict(os.environ, NBDKIT=options.nbdkit)
    done = subprocess.run([PYTHON, "-B", script], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace", timeout=60,
                          env=environment, check=False)
    return done.returncode, done.stdout


def look(number, line, files, options, scratch):
    """(kind, words): kind is shown, silent, no script or WRONG."""
    call, rule, also = line
    plugin, *arguments = call.split()
    if reason := reference_plugins.why_not(options.plugins, plugin, arguments):
        return "not run", reason
    report = scratch / f"{number}.json"
    chosen = []
    # Its own checks find it soonest; now and then it takes another's.
    for only in (f"--only=^{rule}$", "--only=."):
        command = [options.nbdcheck, "--profile=quick", "--jobs=1", "--quiet", "--timeout=3",
                   only, f"--report=json:{report}", f"--artifacts={scratch}/{number}",
                   reference_plugins.plugin_word(options.plugins, plugin, arguments),
                   *map(files.expand, arguments)]
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, timeout=300, check=False)
        findings = json.loads(report.read_text(encoding="utf-8"))["findings"]
        chosen = [f for f in findings if f["rule"] == rule] or \
                 [f for f in findings if f["rule"] in also]
        if chosen:
            break
    if not chosen:
        return "no finding", ", ".join(f["rule"] for f in findings) or "nothing found"
    finding = chosen[0]
    if problem := replay_problem(finding, options):
        return "WRONG", problem
    if not finding["nbdsh"]:
        return "no script", (finding["on_nbdkit"] or "").removeprefix("no script: ")
    shown, output = run_script(finding["nbdsh"], options)
    status, twin_output = run_script(twin(pathlib.Path(finding["nbdsh"]), plugin), options)
    if status != NOT_SHOWN:
        return "WRONG", f"the script gives {status} on the correct twin\n{twin_output}"
    if finding["confirmed_on_nbdkit"] != (shown == SHOWN):
        return "WRONG", f"nbdcheck says {finding['confirmed_on_nbdkit']}, the script {shown}"
    if shown == SHOWN:
        return "shown", ""
    return "silent", output


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--nbdcheck", required=True, type=os.path.abspath)
    parser.add_argument("--plugins", required=True, type=lambda p: pathlib.Path(p).resolve())
    parser.add_argument("--only", default=VISIBLE, help="lines or rules that match")
    parser.add_argument("--shard", default="1/1", help="I/N: every Nth line, from the Ith on")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--long", action="store_true", help="the sections that take long")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    options.nbdkit = shutil.which("nbdkit") or shutil.which("nbdkit", path="/usr/sbin")
    module = subprocess.run([PYTHON, "-c", "import nbd"], stderr=subprocess.DEVNULL, check=False)
    if not options.nbdkit or module.returncode:
        print("nbdkit or libnbd's Python module is not installed: nothing is shown")
        return 77
    index, count = map(int, options.shard.split("/"))
    chosen = [line for line in lines(ROOT / "reference-plugins" / "faulty.txt", options.long)
              if re.search(options.only, line[0]) or re.search(options.only, line[1])]
    chosen = chosen[index - 1::count]
    kinds, reasons, wrong = collections.Counter(), collections.Counter(), 0
    with tempfile.TemporaryDirectory(prefix="nbdcheck-reproducers-") as directory, \
            concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        scratch = pathlib.Path(directory)
        files = Files(directory)
        jobs = [(n, line, files, options, scratch) for n, line in enumerate(chosen)]
        for line, (kind, words) in zip(chosen, pool.map(lambda job: look(*job), jobs)):
            if kind == "silent" and line[0] in NOT_SEEN:
                kind, words = "explained", NOT_SEEN[line[0]]
            kinds[kind] += 1
            if kind == "no script":
                reasons[words] += 1
            bad = kind in ("WRONG", "silent")
            wrong += bad
            print(f"{kind:<10} {line[0]:<50} {line[1]:<28} "
                  f"{words.splitlines()[-1] if words and not bad else ''}".rstrip(), flush=True)
            if words and (bad or options.verbose):
                print("".join(f"    | {text}\n" for text in words.splitlines()[-25:]), end="")
    for reason, times in reasons.most_common():
        print(f"  {times:>3} without a script: {reason}")
    tried = kinds["shown"] + kinds["silent"] + kinds["WRONG"] + kinds["explained"]
    visible = tried - kinds["explained"]
    share = 100 * kinds["shown"] / max(1, visible)
    print(f"{kinds['shown']} of {visible} faults that are visible over NBD are shown by their script "
          f"on the real nbdkit and not on the correct twin ({share:.1f} %); {kinds['explained']} have "
          f"a script and are not seen there, explained; {kinds['no script']} have none; "
          f"{kinds['no finding']} were not found by the quick profile")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
