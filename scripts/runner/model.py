"""The one model that all reports are made from: jobs, rows, findings, waivers, hosts."""

import collections
import dataclasses
import tomllib

from .common import (EXIT_CONFORMANT, EXIT_FAILED, EXIT_FINDINGS, EXIT_NOTHING, EXIT_USAGE,
                     SEVERITIES, read_json)
from .job import Job

# Of several exit codes, that of the whole is the first of these.
WORST = (EXIT_FINDINGS, EXIT_FAILED, EXIT_USAGE, EXIT_NOTHING, EXIT_CONFORMANT)
NOT_RUN = "not run"


def group_of(rule):
    return rule.partition(".")[0]


@dataclasses.dataclass
class JobResult:
    job: Job
    place: str  # its directory
    state: str  # of rundir.ENDED, or NOT_RUN
    reason: str
    result: dict
    report: dict | None

    @property
    def verdict(self):
        return self.report["verdict"] if self.report else self.state

    @property
    def exit_code(self):
        """None: skipped, which says nothing about anything."""
        if self.report:
            return self.report["exit_code"]
        return {"skipped": None, "refused": EXIT_USAGE}.get(self.state, EXIT_FAILED)

    @property
    def seconds(self):
        return max(0.0, self.result.get("end", 0) - self.result.get("begin", 0))

    @property
    def host(self):
        return self.result.get("host", "")

    @property
    def findings(self):
        return self.report["findings"] if self.report else []

    @property
    def checks(self):
        return self.report["checks"] if self.report else []

    @property
    def of_check(self):
        """{check: findings}.  nbdcheck tells a rule once, under the check that saw it first; a
        check that failed for the same rule, or for one that hides it, is among them, too."""
        told = {}
        for finding in self.findings:
            told.setdefault(finding["check"], []).append(finding)
        for check in self.checks:
            if check["status"] in ("passed", "skipped", "unknown") or check["id"] in told:
                continue
            process = "process.hang" if check["status"] == "hung" else "process.crash"
            same = [f for f in self.findings if f["rule"] in (*check.get("rules", ()), process)]
            told[check["id"]] = same or self.findings
        return told

    def decides(self, finding):
        """Whether it makes the job fail."""
        return (not finding.get("waived") and severity_rank(finding["severity"])
                <= severity_rank(self.job.fail_on.upper()))

    @property
    def rules_checked(self):
        return {rule for check in self.checks for rule in check.get("rules", ())
                if check["status"] not in ("skipped", "unknown")}


@dataclasses.dataclass
class Finding:
    """One rule broken in one row, however many seeds showed it, however often."""

    row: str
    rule: str
    seen: list = dataclasses.field(default_factory=list)  # of (JobResult, finding), shortest first
    runs: int = 0  # of this row that ended with a verdict on the rule
    baseline: str = ""  # "new", "still"; "" without a baseline

    @property
    def best(self):
        """The one to show: the shortest sequence there is."""
        return min(self.seen, key=lambda pair: (pair[1].get("operations") or 1 << 60))

    @property
    def severity(self):
        return min((f["severity"] for _, f in self.seen), key=severity_rank)

    @property
    def title(self):
        return self.seen[0][1].get("title", "")

    @property
    def jobs(self):
        return list({id(job): job for job, _ in self.seen}.values())

    @property
    def waived(self):
        """What it was waived for, if all of it was."""
        waivers = [f.get("waived") for _, f in self.seen]
        return waivers[0] if all(waivers) else None

    @property
    def decides(self):
        """Whether it makes its jobs fail."""
        return any(job.decides(finding) for job, finding in self.seen)

    @property
    def rate(self):
        return f"{len(self.jobs)} of {self.runs} runs"


def severity_rank(severity):
    return SEVERITIES.index(severity) if severity in SEVERITIES else len(SEVERITIES)


class Model:
    def __init__(self, runs, baseline=None):
        self.runs = runs
        self.about = runs[0].about
        self.catalogue = {"rules": {}, "checks": {}}
        self.notes = []
        self.jobs = []
        for run in runs:
            self.read(run)
        self.rows = collections.defaultdict(list)
        for job in self.jobs:
            self.rows[job.job.row].append(job)
        self.findings = self.gather_findings()
        self.waivers = merge_waivers(self.jobs)
        self.gone, self.not_checked_again = [], []
        self.has_baseline = baseline is not None
        if baseline is not None:
            self.compare(baseline)

    def read(self, run):
        try:
            catalogue = read_json(run.file("catalogue.json"))
            self.catalogue["rules"] |= catalogue["rules"]
            self.catalogue["checks"] |= catalogue["checks"]
        except (ValueError, KeyError, TypeError) as problem:
            self.notes.append(f"{run.path}: no texts of the rules: {problem}")
        known = {job.job.id: index for index, job in enumerate(self.jobs)}
        for job in run.jobs:
            result = self.read_job(run, job)
            if job.id not in known:
                self.jobs.append(result)
            elif self.jobs[known[job.id]].report is None:
                self.jobs[known[job.id]] = result  # several runs, and here it went better
        self.notes += run.about.get("notes", [])

    def read_job(self, run, job):
        result = run.result(job.id) or {}
        state = result.get("state", NOT_RUN)
        reason = result.get("reason", "" if result else "it has no result")
        report = None
        if state == "finished":
            try:
                report = run.report(job.id)
            except ValueError as problem:
                state, reason = "failed", str(problem)
        return JobResult(job, run.job_directory(job.id), state, reason, result, report)

    def gather_findings(self):
        found = {}
        for job in self.jobs:
            for finding in job.findings:
                key = job.job.row, finding["rule"]
                found.setdefault(key, Finding(*key)).seen.append((job, finding))
        for finding in found.values():
            finding.runs = sum(1 for job in self.rows[finding.row] if job in finding.jobs
                               or finding.rule in job.rules_checked)
        return sorted(found.values(), key=lambda f: (
            not f.decides, bool(f.waived), severity_rank(f.severity), f.row, f.rule))

    def compare(self, baseline):
        before = {(f["row"], f["rule"]): f for f in baseline["findings"]}
        now = {(f.row, f.rule): f for f in self.findings}
        for key, finding in now.items():
            finding.baseline = "still" if key in before else "new"
        for (row, rule), finding in before.items():
            if (row, rule) not in now:
                again = any(rule in job.rules_checked for job in self.rows.get(row, ()))
                (self.gone if again else self.not_checked_again).append(finding)

    @property
    def without_verdict(self):
        return [job for job in self.jobs if job.report is None and job.state != "skipped"]

    @property
    def skipped(self):
        return [job for job in self.jobs if job.state == "skipped"]

    @property
    def exit_code(self):
        codes = {job.exit_code for job in self.jobs} - {None}
        return next((code for code in WORST if code in codes), EXIT_NOTHING)

    @property
    def verdict(self):
        return {EXIT_CONFORMANT: "CONFORMANT", EXIT_FINDINGS: "NOT CONFORMANT",
                EXIT_NOTHING: "NOTHING CHECKED"}.get(self.exit_code, "INCOMPLETE")

    @property
    def operations(self):
        return sum(job.report["operations"] for job in self.jobs if job.report)

    @property
    def job_seconds(self):
        return sum(job.seconds for job in self.jobs)

    @property
    def wall_seconds(self):
        """From the first begin to the last end; a pause between two runs counts."""
        ended = [job.result for job in self.jobs if job.host]
        return (max(r["end"] for r in ended) - min(r["begin"] for r in ended)) if ended else 0.0

    @property
    def hosts(self):
        """{host: [jobs, seconds]}"""
        hosts = collections.defaultdict(lambda: [0, 0.0])
        for job in self.jobs:
            if job.host:
                hosts[job.host][0] += 1
                hosts[job.host][1] += job.seconds
        return dict(sorted(hosts.items()))

    def states(self):
        return collections.Counter(job.verdict for job in self.jobs)

    def not_checked(self):
        """{reason: {check, ...}} of what was skipped or is unknown, with the number of jobs."""
        reasons = collections.defaultdict(lambda: (set(), set()))
        for job in self.jobs:
            for check in job.checks:
                if check["status"] in ("skipped", "unknown"):
                    key = check["status"], check.get("reason") or "no reason was given"
                    reasons[key][0].add(check["id"])
                    reasons[key][1].add(job.job.row)
        return dict(sorted(reasons.items(), key=lambda item: -len(item[1][1])))


STATES = ("used", "unneeded", "expired", "not-checked")


def merge_waivers(jobs):
    """What all jobs say about each waiver; those that speak of no plugin here say so."""
    said = {}
    for job in jobs:
        for waiver in (job.report or {}).get("waivers", ()):
            key = waiver["rule"], waiver["plugin"], waiver["reason"]
            entry = said.setdefault(key, dict(waiver, states=set(), rows=set()))
            entry["states"].add(waiver["state"])
            if waiver["state"] == "used":
                entry["rows"].add(job.job.row)
    for path in sorted({job.job.waivers for job in jobs if job.job.waivers}):
        try:
            with open(path, "rb") as text:
                waivers = tomllib.load(text).get("waiver", [])
        except (OSError, tomllib.TOMLDecodeError):
            continue  # moved since; what the jobs said stands
        for waiver in waivers:
            key = waiver.get("rule"), waiver.get("plugin"), waiver.get("reason")
            said.setdefault(key, {
                "rule": key[0], "plugin": key[1], "reason": key[2], "where": path,
                "until": str(waiver["until"]) if "until" in waiver else None,
                "states": {"no-such-plugin"}, "rows": set()})
    for entry in said.values():
        # Used in one place is used; not needed only where nothing stood in the way.
        entry["state"] = next((s for s in ("used", "expired", "not-checked", "unneeded")
                               if s in entry["states"]), "no-such-plugin")
    return sorted(said.values(), key=lambda w: (w["rule"] or "", w["plugin"] or ""))


WAIVER_WORDS = {
    "used": "used",
    "expired": "has expired",
    "unneeded": "is not needed: the rule was checked and is kept",
    "not-checked": "its rule was not checked in all runs",
    "no-such-plugin": "speaks of no plugin of this run",
}
