"""A quick stand-in for nbdcheck, for the tests: writes the reports it is told to."""

import json
import os
import signal
import subprocess
import sys
import time

RULES = ("data.read-your-writes", "zero.no-hole", "process.crash", "concurrency.regular")


def catalogue():
    rules = [{"id": rule, "title": f"The title of {rule}", "severity": "MUST", "since": "1.0",
              "source": "nbdkit-plugin(3)", "text": f"The text of `{rule}`.\n\n## In practice\nIt "
              "goes wrong.\n"} for rule in RULES]
    return {"nbdcheck": "0.1.0", "rules": rules,
            "checks": [{"id": "data.random", "summary": "s", "rules": list(RULES)}]}


def main():
    log, *arguments = sys.argv[1:]
    if arguments[:1] == ["list"]:
        print(json.dumps(catalogue()))
        return 0
    options = dict(word[2:].partition("=")[::2] for word in arguments if word.startswith("--"))
    reports = dict(word.removeprefix("--report=").split(":", 1) for word in arguments
                   if word.startswith("--report="))
    plugin, *words = arguments[arguments.index("--") + 1:]
    if plugin == "/dev/null/no-plugin":
        if "bad" in options["waivers"]:
            print(f"nbdcheck: {options['waivers']}:3: unknown rule", file=sys.stderr)
        return 2
    with open(log, "a", encoding="utf-8") as out:
        out.write(json.dumps(arguments) + "\n")
    told = dict(word.partition("=")[::2] for word in words)
    if plugin.endswith("none.so"):
        print(f"nbdcheck: {plugin}: No such file or directory", file=sys.stderr)
        return 2
    act(told, log)
    finding = told.get("finding")
    if finding and told.get("seeds") and options["seed"] not in told["seeds"].split(","):
        finding = None
    report = report_of(plugin, words, options, finding, told)
    with open(reports["events"], "w", encoding="utf-8") as out:
        for event in ({"event": "progress", "check": "data.random", "done": 1, "total": 2},
                      *([{"event": "finding", "rule": finding, "severity": "MUST",
                          "waived": False}] if finding else [])):
            out.write(json.dumps(event) + "\n")
    text = json.dumps(report)
    if told.get("do") == "truncated":
        text = text[:len(text) // 2]
    if told.get("do") != "no-report":
        with open(reports["json"], "w", encoding="utf-8") as out:
            out.write(text)
    print(report["verdict"].upper())
    return report["exit_code"]


def act(told, log):
    do = told.get("do")
    if do == "hang":  # with a process of its own that has left the group, and does not listen
        subprocess.Popen([sys.executable, "-SEc", "import signal, time\n"
                          "signal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(1000)"],
                         start_new_session=True, stdin=subprocess.DEVNULL)
        time.sleep(1000)
    if do == "eat":
        eaten = b"x" * (300 << 20)
        time.sleep(1000)
        print(len(eaten))
    if do == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if do == "die-once" and not os.path.exists(log + ".died"):
        open(log + ".died", "w", encoding="ascii").close()
        os.kill(os.getpid(), signal.SIGKILL)
    if do == "slow-once" and not os.path.exists(f"{log}.{told['name']}"):
        open(f"{log}.{told['name']}", "w", encoding="ascii").close()
        time.sleep(1000)
    if do == "meet":  # the other job that does the same, or fail
        open(f"{log}.{told['name']}", "w", encoding="ascii").close()
        end = time.monotonic() + 60
        while not os.path.exists(f"{log}.{told['with']}"):
            if time.monotonic() > end:
                os.abort()
            time.sleep(0.02)
    if do == "kill-worker":
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(1000)
    time.sleep(float(told.get("seconds", 0)))


def report_of(plugin, words, options, finding, told):
    findings = []
    if finding:
        findings.append({
            "rule": finding, "severity": told.get("severity", "MUST"), "check": "data.random",
            "title": f"The title of {finding}", "message": told.get("message", "It went wrong."),
            "expected": "this", "actual": "that", "details": ["0010 expected 5e",
                                                              "     actual  >00"],
            "plan": None, "nbdsh": None, "operations": 2, "original_operations": 9,
            "calls": ["#0 open()", "#0 read(offset=0, count=1)"], "occurrences": 1,
            "replay": "nbdcheck replay x.plan", "confirmed_on_nbdkit": None, "on_nbdkit": None,
            "waived": {"reason": "known", "until": None} if told.get("waived") else None})
    ranks = ["must", "should", "quality"]
    fails = any(not f["waived"] and ranks.index(f["severity"].lower())
                <= ranks.index(options["fail-on"]) for f in findings)
    nothing = told.get("do") == "nothing"
    waivers = []
    if told.get("waiver"):
        waivers.append({"rule": "zero.no-hole", "plugin": "p", "reason": "known", "until": None,
                        "where": "w.toml:1", "state": told["waiver"]})
    return {
        "nbdcheck": "0.1.0", "schema": 1,
        "plugin": {"path": plugin, "name": "p", "version": None, "api_version": 2,
                   "thread_model": "parallel", "sha256": None, "args": words},
        "verdict": "nothing-checked" if nothing else "nonconformant" if fails else "conformant",
        "exit_code": 4 if nothing else 1 if fails else 0, "error": None,
        "fail_on": options["fail-on"], "export": None, "seed": int(options["seed"]),
        "seconds": 0.1, "operations": 1000,
        "time": {"start_up": {"seconds": 0.1, "processes": 1},
                 "checks": {"seconds": 0.5, "processes": 1},
                 "shrinking": {"seconds": 0.2, "processes": 1}, "idle": {"seconds": 0.0},
                 "jobs": 1},
        "rules": {"total": 4, "checked": 3, "not_applicable": 1},
        "checks": [
            {"id": "data.random", "status": "failed" if finding else "passed", "reason": None,
             "seconds": 0.5, "operations": 1000, "processes": 1,
             "rules": ["data.read-your-writes", "concurrency.regular"]},
            {"id": "zero.holes", "status": "skipped", "reason": "no .zero", "seconds": 0.0,
             "operations": 0, "processes": 0, "rules": ["zero.no-hole"]}],
        "findings": findings, "waivers": waivers, "notes": []}


if __name__ == "__main__":
    sys.exit(main())
