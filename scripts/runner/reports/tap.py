"""TAP 13: a test point for each check of each job."""

import json


def words(text):
    """On one line, and without what TAP would take for a directive."""
    return " ".join(str(text).split()).replace("\\", "\\\\").replace("#", "\\#")


def yaml(finding):
    """JSON is YAML; a key on each line so that a person can read it."""
    keys = ("rule", "severity", "title", "message", "expected", "actual", "calls", "replay")
    return ["  ---", *(f"  {key}: {json.dumps(finding[key])}" for key in keys
                       if finding.get(key)), "  ..."]


def points(job):
    """(ok, description, directive, lines) of a job."""
    name = f"{job.job.row} seed {job.job.seed}"
    if job.report is None:
        if job.state == "skipped":
            yield True, f"{name}: nbdcheck", f"SKIP {words(job.reason)}", []
        else:
            yield False, f"{name}: nbdcheck", "", [
                "  ---", f"  state: {json.dumps(job.state)}",
                f"  message: {json.dumps(job.reason)}", "  ..."]
        return
    of_check = job.of_check
    checks = {check["id"]: check for check in job.checks}
    for check in [*checks, *(name for name in of_check if name not in checks)]:
        findings = of_check.get(check, [])
        failing = [finding for finding in findings if job.decides(finding)]
        lines = [line for finding in findings for line in yaml(finding)]
        status = checks[check]["status"] if check in checks else "failed"
        directive = ""
        if not failing and findings:
            waived = next((f["waived"]["reason"] for f in findings if f.get("waived")), None)
            # Known, or below what the user fails for: told, and no failure.
            directive = f"TODO {words(waived or 'below --fail-on=' + job.job.fail_on)}"
        elif status in ("skipped", "unknown"):
            reason = checks[check].get("reason") or status
            directive = f"SKIP {words(reason)}"
        yield not findings, f"{name}: {check}", directive, lines
    if job.report.get("error"):
        yield False, f"{name}: nbdcheck", "", [
            "  ---", f"  message: {json.dumps(job.report['error'])}", "  ..."]


def tap_report(model):
    lines = []
    count = 0
    for job in model.jobs:
        for ok, description, directive, more in points(job):
            count += 1
            lines.append(f"{'ok' if ok else 'not ok'} {count} - {words(description)}"
                         + (f" # {directive}" if directive else ""))
            lines += more
    return "\n".join(["TAP version 13", f"1..{count}", *lines]) + "\n"
