#!/usr/bin/python3
"""Threads and goroutines: Go plugins under requests at once, and what that was.

  goroutines.py --nbdcheck=PATH --plugins=DIRECTORY [--time=SECONDS]

Runs the checks that send requests at once on the Go plugins that serve them by
goroutines, by locks, and with a fault, and prints how many connections, threads,
requests and collections of garbage there were.  1: a check did not pass, or did
less than it is for.  77: the plugins were not built.
"""
import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True  # nothing is left in the source tree
sys.path.insert(0, str(ROOT / "scripts"))
import reference_plugins  # noqa: E402  (found by the line above)

CHECKS = "^(concurrency.(collector|stress|noise|first-use)|handle.threads)$"
FIGURES = re.compile(r"([\d,]+) connections, of which (\d+) at once, on (\d+) threads; "
                     r"(\d+) requests; (\d+) collections")


def run(options, plugin, argument):
    with tempfile.TemporaryDirectory(prefix="nbdcheck-goroutines-") as scratch:
        report = pathlib.Path(scratch) / "report.json"
        subprocess.run([options.nbdcheck, "--nbdkit=none", "--quiet", f"--only={CHECKS}",
                        f"--time={options.time}", f"--report=json:{report}",
                        f"--artifacts={scratch}/artifacts",
                        str(options.plugins / f"{plugin}.so"), argument],
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=300, check=False)
        return json.loads(report.read_text(encoding="utf-8"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--nbdcheck", required=True, type=os.path.abspath)
    parser.add_argument("--plugins", required=True, type=lambda p: pathlib.Path(p).resolve())
    parser.add_argument("--time", default="2", help="seconds for each plugin; default: %(default)s")
    options = parser.parse_args()
    if reason := reference_plugins.why_not(options.plugins, "go-channels", ()):
        print(f"nothing is run: {reason}")
        return 77
    wrong = 0
    for plugin in ("go-channels", "go-ramdisk"):
        report = run(options, plugin, "size=1M")
        checks = {check["id"]: check for check in report["checks"]}
        for check in checks.values():
            if check["status"] != "passed":
                wrong += 1
                print(f"{plugin}: {check['id']} {check['status']}: {check['reason']}")
        total = sum(check["operations"] for check in checks.values())
        found = FIGURES.search(checks["concurrency.collector"]["reason"] or "")
        if not found:
            wrong += 1
            print(f"{plugin}: no figures: {checks['concurrency.collector']}")
            continue
        connections, at_once, threads, requests, collections = found.groups()
        print(f"{plugin}: {total:,} requests in all checks of requests at once; of those, with the "
              f"collector forced: {int(connections):,} connections, {at_once} at once, on "
              f"{int(threads):,} threads of the system, {int(requests):,} requests, "
              f"{int(collections):,} collections", flush=True)
        if int(threads) <= int(at_once) or int(collections) == 0:
            wrong += 1
            print(f"{plugin}: no new threads, or no collection")
    # That it can fail.
    report = run(options, "faulty-go", "fault=hidden")
    rules = {finding["rule"] for finding in report["findings"]}
    # Which rule it is depends on when the memory is reused: a request of its own
    # may see other bytes than it wrote before requests at once do.
    if not rules & {"concurrency.collector", "concurrency.regular", "data.read-your-writes",
                    "process.crash"}:
        wrong += 1
        print(f"faulty-go fault=hidden: not found, but {sorted(rules)}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
