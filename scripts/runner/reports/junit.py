"""JUnit XML: a suite for each job, a case for each check."""

import datetime
import os
import xml.etree.ElementTree as xml


def clean(text):
    """XML 1.0 has no way to write most control characters."""
    return "".join(c if c in "\t\n" or (c.isprintable() and c not in "\ufffe\uffff") else "\ufffd"
                   for c in str(text))


def finding_text(finding):
    lines = [finding.get("message") or ""]
    for key in ("expected", "actual"):
        if finding.get(key):
            lines.append(f"{key}: {finding[key]}")
    lines += [f"{n:3}  {call}" for n, call in enumerate(finding.get("calls") or (), 1)]
    lines += finding.get("details") or ()
    if finding.get("replay"):
        lines.append(f"replay: {finding['replay']}")
    return clean("\n".join(lines))


def element(parent, tag, text="", /, **attributes):
    child = xml.SubElement(parent, tag, {key: clean(value) for key, value in attributes.items()})
    child.text = clean(text) or None
    return child


def of_job(root, job):
    begin = datetime.datetime.fromtimestamp(job.result.get("begin", 0), datetime.timezone.utc)
    suite = element(root, "testsuite", name=f"{job.job.row}  seed {job.job.seed}",
                    hostname=job.host or "-", timestamp=begin.strftime("%Y-%m-%dT%H:%M:%S"),
                    time=f"{job.seconds:.3f}", id=job.job.id)
    counts = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
    kind = job.job.row.replace(".", "_")  # a dot begins a package in most viewers

    def case(name, seconds=0.0):
        counts["tests"] += 1
        return element(suite, "testcase", name=name, classname=kind, time=f"{seconds:.3f}")

    def ends(parent, how, message, text="", **more):
        counts[{"failure": "failures", "error": "errors"}.get(how, how)] += 1
        element(parent, how, text, message=message, **more)

    if job.report is None:
        one = case("nbdcheck", job.seconds)
        if job.state == "skipped":
            ends(one, "skipped", job.reason)
        else:
            ends(one, "error", f"{job.state}: {job.reason}", job.result.get("output", ""),
                 type=job.state)
    of_check = job.of_check
    for check in job.checks:
        one = case(check["id"], check["seconds"])
        told = []
        failures = []
        for finding in of_check.pop(check["id"], ()):
            (failures if job.decides(finding) else told).append(finding)
        if failures:
            ends(one, "failure",
                 "; ".join(f"{f['severity']} {f['rule']}: {f['title']}" for f in failures),
                 "\n\n".join(map(finding_text, failures)), type=failures[0]["rule"])
        elif check["status"] in ("skipped", "unknown"):
            ends(one, "skipped", f"{check['status']}: {check.get('reason') or ''}")
        for finding in told:
            why = finding.get("waived")
            why = f"waived: {why['reason']}" if why else f"below --fail-on={job.job.fail_on}"
            element(one, "system-out", f"{finding['severity']} {finding['rule']} ({why})\n"
                                       f"{finding_text(finding)}")
    for name, findings in of_check.items():  # of the start, or of a check that was not listed
        ends(case(name), "failure", "; ".join(f["rule"] for f in findings),
             "\n\n".join(map(finding_text, findings)), type=findings[0]["rule"])
    if job.report and job.report.get("error"):
        ends(case("nbdcheck"), "error", job.report["error"], type=job.verdict)
    for key, value in counts.items():
        suite.set(key, str(value))
    return counts


def junit_report(model):
    root = xml.Element("testsuites", name="nbdcheck", time=f"{model.wall_seconds:.3f}")
    total = {"tests": 0, "failures": 0, "errors": 0}
    for job in model.jobs:
        counts = of_job(root, job)
        for key in total:
            total[key] += counts[key]
    for key, value in total.items():
        root.set(key, str(value))
    xml.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + xml.tostring(root, "unicode") + os.linesep
