#!/usr/bin/python3
"""What was found is found again, every time.

  run.py --nbdcheck=PATH --plugins=DIRECTORY

Runs concurrency.step on plugins with a race, one that leaves wrong data, some
that crash, and some that show at first use or with lazy memory, and replays
each plan REPEAT times, by the command that the report gives.  So is a check
replayed that has to know what only a second probe finds out, and what takes an
option.  On the plugin without the fault the plans show nothing.
"""
import argparse
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

SCHEDULE = re.compile(r"^schedule pair=\d+ area=\d+ point=\d+ pass=\d+$", re.M)
# A plugin and its fault, the check, whether one meeting of two requests shows it, and
# options.
FAULTS = (
    ("faulty-races-cache", "double-insert", "concurrency.step", True),
    ("faulty-races-store", "trim-free", "concurrency.step", True),
    ("faulty-races-life", "lazy", "concurrency.step", True),
    # While B waits for A's lock the race can show by chance.
    ("faulty-races-store", "recheck", "concurrency.step", True),
    # What was broken shows later.
    ("faulty-races-store", "refcount", "concurrency.step", False),
    ("faulty-clients", "waits", "handle.together", False),
    ("faulty-races-slow", "torn-read", "concurrency.step", True, "--consistency=atomic"),
    ("faulty-instrumented", "uninitialised", "data.edges", False, "--valgrind"),
)
REPEAT = 5


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--nbdcheck", required=True, type=os.path.abspath)
    parser.add_argument("--plugins", required=True, type=lambda p: pathlib.Path(p).resolve())
    options = parser.parse_args()
    wrong = []
    for plugin, fault, check, one_meeting, *more in FAULTS:
        with tempfile.TemporaryDirectory(prefix="nbdcheck-replay-") as scratch:
            def nbdcheck(*words, scratch=scratch):
                done = subprocess.run([options.nbdcheck, *words], cwd=scratch, text=True,
                                      stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, timeout=120, check=False)
                return done.returncode, done.stdout

            path = options.plugins / f"{plugin}.so"
            status, output = nbdcheck(f"--only=^{re.escape(check)}$", "--artifacts=plans",
                                      "--nbdkit=none", "--fail-on=quality",
                                      "--report=json:report.json", *more, str(path),
                                      f"fault={fault}")
            plans = sorted(pathlib.Path(scratch, "plans").glob("*.plan"))
            if status != 1 or len(plans) != 1:
                wrong.append(f"{plugin} {fault}: status {status}, {len(plans)} plans\n{output}")
                continue
            text = plans[0].read_text(encoding="utf-8")
            if bool(SCHEDULE.search(text)) != one_meeting:
                wrong.append(f"{plugin} {fault}: schedule or not?\n{text}")
            report = json.loads(pathlib.Path(scratch, "report.json").read_text("utf-8"))
            replay = shlex.split(report["findings"][0]["replay"])[1:]
            if not set(more) <= set(replay):
                wrong.append(f"{plugin} {fault}: {more} not in {replay}")
            status, output = nbdcheck(*replay, f"--repeat={REPEAT}")
            if status != 1 or f"reproduced in {REPEAT} of {REPEAT} runs" not in output:
                wrong.append(f"{plugin} {fault}: replay, status {status}\n{output}\n{text}")
            plans[0].write_text(text.replace(f"fault={fault}", "fault=none"), encoding="utf-8")
            status, output = nbdcheck(*replay)
            if status not in (0, 4) or ": reproduced in" in output:
                wrong.append(f"{plugin} without {fault}: replay, status {status}\n{output}")
            print(f"{plugin} {fault}: {plans[0].name} shown in {REPEAT} of {REPEAT} runs"
                  if not wrong else f"{plugin} {fault}", flush=True)
    for words in wrong:
        print(words)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
