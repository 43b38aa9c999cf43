#!/usr/bin/python3
"""Runs nbdcheck on the plugins that nbdkit's packages install, and holds what it
says against table.toml.

  run.py --nbdcheck=PATH [--group=NAME ...] [--row=REGEX] [--profile=quick] [--time=SECONDS]
         [--seed=N]
  run.py --proofs       the scripts that show the plugins' bugs on the real nbdkit

Exits 1 if a row differs from the table, or an installed plugin is not in it.
Rows and proofs whose plugin or tool is not installed are shown and counted as
skipped; 77: nbdkit is not installed.
"""
import argparse
import collections
import concurrent.futures
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import tomllib

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "scripts"))
from runner.materials import Materials, Unavailable  # noqa: E402
from runner.packaged import installed_plugins, plugin_directory  # noqa: E402


def installed(plugins, name):
    return any(os.path.exists(os.path.join(plugins, f"nbdkit-{name}-plugin{end}"))
               for end in (".so", ""))


def run_row(row, options):
    words = shlex.split(row["run"])
    if not installed(options.plugins, words[0]):
        raise Unavailable(f"the {words[0]} plugin is not installed")
    for tool in row.get("needs", []):
        if not shutil.which(tool, path=os.environ["PATH"] + ":/usr/sbin:/sbin"):
            raise Unavailable(f"{tool} is not installed")
    directory = tempfile.mkdtemp(prefix="nbdcheck-packaged-")
    materials = Materials(directory, options.plugins)
    try:
        report = os.path.join(directory, "report.json")
        command = [options.nbdcheck, f"--profile={options.profile}", f"--seed={options.seed}",
                   "--jobs=1", "--nbdkit=none", "--fail-on=quality", "--quiet", f"--report=json:{report}",
                   *([f"--time={options.time}"] if options.time else []),
                   *([f"--only={options.checks}"]
                     if options.checks and "--only=" not in row.get("options", "") else []),
                   f"--artifacts={directory}/artifacts", *shlex.split(row.get("options", "")),
                   *map(materials.expand, words)]
        ran = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, cwd=directory)
        output = ran.stdout.decode(errors="replace")
        try:
            with open(report, encoding="utf-8") as text:
                return json.load(text), output
        except OSError:
            return {"verdict": f"exit code {ran.returncode}", "operations": 0, "seconds": 0,
                    "findings": [], "checks": []}, output
    finally:
        materials.close()
        shutil.rmtree(directory, ignore_errors=True)


# Of a fixed list of requests those that would take too long are left out: how
# many that is depends on the machine, and says nothing about the plugin.
CUT_SHORT = re.compile(r"requests were left out: they would take too long$")


def cut_short(report):
    """The checks that had too little time."""
    return [check["id"] for check in report["checks"]
            if check["status"] == "unknown" and CUT_SHORT.search(check["reason"])]


def differences(row, report, some_checks):
    """What is not as the table says.  Some checks alone need not find what it says."""
    too_little_time = cut_short(report)
    found = {finding["rule"] for finding in report["findings"]}
    expected = row.get("findings", {})
    sometimes = row.get("sometimes", {})
    one_of = row.get("one_of", {})
    wrong = [f"unexpected {rule}"
             for rule in sorted(found - set(expected) - set(sometimes) - set(one_of))]
    if not some_checks:
        wrong += [f"missing {rule}" for rule in sorted(set(expected) - found)]
    wrong += [f"{check['id']} is {check['status']}: {check['reason']}"
              for check in report["checks"]
              if check["status"] in ("unknown", "crashed", "hung") and not found
              and check["id"] not in too_little_time]
    if some_checks:
        return wrong
    if one_of and not found & set(one_of):
        wrong.append("missing one of " + ", ".join(one_of))
    verdict = row.get("verdict", "nonconformant" if expected or one_of else "conformant")
    if report["verdict"] != verdict and not (sometimes and found):
        wrong.append(f"verdict {report['verdict']}, expected {verdict}")
    return wrong


class Table:
    """Rows as they come, aligned; the totals at the end."""

    def __init__(self, rows, verbose):
        self.width = max(len(row["name"]) for row in rows)
        self.verbose = verbose
        self.lock = threading.Lock()
        self.counts = {"ok": 0, "WRONG": 0, "skipped": 0}
        self.findings = collections.Counter()
        self.wrong = []

    def line(self, row, mark, verdict, operations, seconds, rest):
        print(f"{mark:<8}{row['name']:<{self.width}}  {verdict:<15}{operations:>11,} ops"
              f"{seconds:>8.1f} s  {rest}".rstrip(), flush=True)

    def skipped(self, row, reason):
        with self.lock:
            self.counts["skipped"] += 1
            self.line(row, "skipped", "", 0, 0, reason)

    def finished(self, row, report, output, wrong):
        with self.lock:
            mark = "WRONG" if wrong else "ok"
            self.counts[mark] += 1
            self.findings.update(finding["rule"] for finding in report["findings"])
            self.wrong += [f"{row['name']}: {line}" for line in wrong]
            notes = [finding["rule"] for finding in report["findings"]]
            notes += [f"(cut short: {check})" for check in cut_short(report)]
            self.line(row, mark, report["verdict"], report["operations"], report["seconds"],
                      ", ".join(notes))
            for line in wrong:
                print(f"        {line}")
            if wrong or self.verbose:
                print("        " + row["run"])
                print("".join(f"        | {line}\n" for line in output.splitlines()), end="")
            sys.stdout.flush()


def forgotten(document, plugins):
    """Installed plugins that no row runs and no line excludes."""
    names = set(installed_plugins(plugins))
    known = {shlex.split(row["run"])[0] for row in document["row"]}
    known |= {match for row in document["row"] for match in re.findall(r"@PLUGIN:(\w+)@", row["run"])}
    return sorted(names - known - {line["plugin"] for line in document["excluded"]})


def run_proofs(document):
    try:
        import nbd  # noqa: F401  (what the proofs need)
    except ImportError:
        print("python3-libnbd is not installed: nothing is proved")
        return 77
    failed = 0
    for name, bug in document["bug"].items():
        ran = subprocess.run([sys.executable, "-B", os.path.join(HERE, "proofs", bug["proof"])],
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, timeout=60)
        lines = ran.stdout.decode(errors="replace").splitlines() or [""]
        print(f"{'ok' if ran.returncode == 0 else 'WRONG':<8}{name:<20}{lines[-1]}", flush=True)
        failed += ran.returncode != 0
    return 1 if failed else 0


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--nbdcheck", type=os.path.abspath)
    parser.add_argument("--proofs", action="store_true")
    parser.add_argument("--group", action="append", help="only rows of this group; repeatable")
    parser.add_argument("--row", help="only rows whose name matches this regular expression")
    parser.add_argument("--profile", default="quick")
    parser.add_argument("--time", help="seconds a run, instead of the profile's")
    parser.add_argument("--checks", help="only checks that match this regular expression")
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--jobs", type=int, default=2, help="rows at once")
    parser.add_argument("--json", help="write what the runs gave to this file")
    parser.add_argument("--plugins", default=plugin_directory(), help="where the plugins are")
    parser.add_argument("--verbose", action="store_true", help="what nbdcheck says, of every row")
    options = parser.parse_args()
    if not options.proofs and not options.nbdcheck:
        parser.error("--nbdcheck=PATH is needed")
    return options


def main():
    options = parse_arguments()
    if not options.plugins:
        print("nbdkit is not installed: nothing is checked")
        return 77
    with open(os.path.join(HERE, "table.toml"), "rb") as text:
        document = tomllib.load(text)
    if options.proofs:
        return run_proofs(document)
    if missing := forgotten(document, options.plugins):
        print("installed, but not in the table: " + ", ".join(missing))
        return 1
    rows = [row for row in document["row"]
            if (not options.group or row["group"] in options.group)
            and (not options.row or re.search(options.row, row["name"]))]
    if not rows:
        print("no such row")
        return 1
    table = Table(rows, options.verbose)

    def one(row):
        try:
            report, output = run_row(row, options)
        except Unavailable as reason:
            table.skipped(row, str(reason))
        else:
            table.finished(row, report, output, differences(row, report, options.checks))

    begin = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(one, rows))
    counts = table.counts
    print(f"{counts['ok']} as expected, {counts['WRONG']} not, {counts['skipped']} skipped; "
          f"{time.monotonic() - begin:.1f} s")
    if options.json:
        with open(options.json, "w", encoding="utf-8") as out:
            json.dump({"runs": counts["ok"] + counts["WRONG"], "findings": table.findings,
                       "wrong": table.wrong}, out)
    return 1 if counts["WRONG"] else 0


if __name__ == "__main__":
    sys.exit(main())
