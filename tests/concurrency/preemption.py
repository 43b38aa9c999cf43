#!/usr/bin/python3
"""A race whose window is a tenth of a microsecond is found; its twin has none.

  preemption.py --nbdcheck=PATH --plugins=DIRECTORY

faulty-races-store fault=read-unlocked copies without a lock, in the C library.
The exit status is 77 where the kernel does not let concurrency.preemption work.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

SEEDS = 3  # of which one must do
RULES = ("concurrency.regular", "concurrency.multi-conn", "concurrency.convergence",
         "process.crash")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--nbdcheck", required=True, type=os.path.abspath)
    parser.add_argument("--plugins", required=True, type=lambda p: pathlib.Path(p).resolve())
    options = parser.parse_args()

    def run(fault, seed, seconds):
        with tempfile.TemporaryDirectory(prefix="nbdcheck-preemption-") as scratch:
            done = subprocess.run(
                [options.nbdcheck, "--only=^concurrency\\.preemption$", "--nbdkit=none",
                 f"--seed={seed}", f"--time={seconds}", "--report=json:report.json",
                 options.plugins / "faulty-races-store.so", f"fault={fault}"],
                cwd=scratch, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, timeout=200, check=False)
            report = json.loads(pathlib.Path(scratch, "report.json").read_text("utf-8"))
        check, = report["checks"]
        return check, [finding["rule"] for finding in report["findings"]], done.stdout

    check, found, output = run("none", 1, 2)
    if check["status"] == "skipped":
        print(f"skipped: {check['reason']}")
        return 77 if "perf_event_open" in check["reason"] else 1
    if found or check["status"] != "passed":
        print(f"without a fault: {check['status']}, {found}\n{output}")
        return 1
    for seed in range(1, SEEDS + 1):
        _, found, output = run("read-unlocked", seed, 10)
        if found:
            print(f"seed {seed}: {', '.join(found)}")
            return 0 if set(found) <= set(RULES) else 1
    print(f"not found with {SEEDS} seeds\n{output}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
